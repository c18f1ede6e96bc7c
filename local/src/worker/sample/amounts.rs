//! Amounts of money in a text.

/// An amount of money in a prompt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Amount {
    /// In whole units of the currency.
    pub(super) value: f64,
    /// `USD`, `EUR` and so on.
    pub(super) currency: &'static str,
}

/// The amounts among these words, in order.
pub(super) fn amounts(words: &[&str]) -> Vec<Amount> {
    let bare = |at: usize| {
        words
            .get(at)
            .map_or("", |word| word.trim_matches(['(', ')', ',', '.', ';', ':', '~']))
    };
    let mut found = Vec::new();
    for at in 0..words.len() {
        let word = bare(at);
        let sign = ["$", "€", "£", "¥", "US$"]
            .into_iter()
            .find(|sign| word.starts_with(sign) || word.ends_with(sign));
        let Some((number, inner)) = number(word.trim_matches(['$', '€', '£', '¥', 'U', 'S'])) else {
            continue;
        };
        let outer = factor(bare(at + 1));
        let after = if outer > 1.0 { at + 2 } else { at + 1 };
        let before = at.checked_sub(1).map_or("", bare);
        let named = sign
            .and_then(currency)
            .or_else(|| currency(bare(after)))
            .or_else(|| currency(before));
        if let Some(currency) = named {
            found.push(Amount {
                value: number * inner * outer,
                currency,
            });
        }
    }
    found
}

/// `1,200.50`, `1.200.000`, `25k`, `1.2m`: a number and what its ending multiplies it with.
fn number(word: &str) -> Option<(f64, f64)> {
    if !word.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let end = word
        .find(|c: char| !c.is_ascii_digit() && c != ',' && c != '.')
        .unwrap_or(word.len());
    let (digits, ending) = word.split_at(end);
    let mut digits = digits.replace(',', "");
    if digits.matches('.').count() > 1 {
        digits = digits.replace('.', "");
    }
    let times = if ending.is_empty() { 1.0 } else { factor(ending) };
    (ending.is_empty() || times > 1.0).then_some(())?;
    Some((digits.parse().ok()?, times))
}

fn factor(word: &str) -> f64 {
    match word.to_ascii_lowercase().as_str() {
        "k" | "thousand" => 1e3,
        "m" | "mio" | "mn" | "million" | "millions" => 1e6,
        "b" | "bn" | "billion" | "billions" => 1e9,
        _ => 1.0,
    }
}

fn currency(word: &str) -> Option<&'static str> {
    Some(match word.to_lowercase().as_str() {
        "$" | "us$" | "usd" | "dollar" | "dollars" => "USD",
        "€" | "eur" | "euro" | "euros" => "EUR",
        "£" | "gbp" | "pounds" => "GBP",
        "¥" | "jpy" | "yen" => "JPY",
        "dkk" => "DKK",
        "sek" => "SEK",
        "nok" => "NOK",
        "chf" | "francs" => "CHF",
        "inr" | "rupees" => "INR",
        "cny" | "yuan" => "CNY",
        "cad" => "CAD",
        "aud" => "AUD",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Amount, amounts};

    #[test]
    fn amounts_are_found_in_all_forms() {
        for (text, value, currency) in [
            ("for $25,000.", 25e3, "USD"),
            ("with €1.2m of", 1.2e6, "EUR"),
            ("about 50k EUR", 50e3, "EUR"),
            ("USD 3 billion", 3e9, "USD"),
            ("1.200.000 DKK", 1.2e6, "DKK"),
            ("2.5 million pounds", 2.5e6, "GBP"),
        ] {
            assert_eq!(
                amounts(&text.split(' ').collect::<Vec<_>>()),
                [Amount { value, currency }],
                "{text}"
            );
        }
        for text in ["999 guests", "in 2027", "24/7", "3x USD", "million dollars"] {
            assert_eq!(amounts(&text.split(' ').collect::<Vec<_>>()), [], "{text}");
        }
    }
}
