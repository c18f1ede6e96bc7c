//! What makes an enum of its rows.

/// Makes an enum of errors from its rows, with a method for each part of a row.
///
/// A row is the variant as Rust has it, except that every field has a name, for the parts to use. The parts: the stable
/// public code; the class; the step of a request at which it occurs; the message for the caller, which says what happened
/// and what to do; a reason in one word and details for programs, where there are any; and samples, of which tests and
/// documents are made.
macro_rules! errors {
    (@optional) => { None };
    (@optional $value:expr) => { Some($value) };
    (@list) => { Vec::new() };
    (@list $values:expr) => { Vec::from($values) };
    ($(#[$($outer:tt)*])* pub enum $Enum:ident {$(
        $(#[$($attribute:tt)*])*
        $variant:ident
        $(($($(#[$($from:tt)*])? $field:ident: $type:ty),+))?
        $({$($(#[$($doc:tt)*])* $name:ident: $named:ty),+ $(,)?})?
        => {
            code: $code:expr, class: $class:expr, at: $step:ident,
            message: $message:expr,
            $(reason: $reason:expr,)?
            $(details: $details:expr,)?
            samples: $samples:expr $(,)?
        }
    )+}) => {
        $(#[$($outer)*])*
        #[cfg_attr(not(target_family = "wasm"), derive(Debug))]
        pub enum $Enum {$(
            $(#[$($attribute)*])*
            $variant $(($($(#[$($from)*])? $type),+))? $({$($(#[$($doc)*])* $name: $named),+})?,
        )+}

        // Derived it takes 7 kB of the component, where nothing reads it.
        #[cfg(target_family = "wasm")]
        impl std::fmt::Debug for $Enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        #[allow(unused_variables, unused_imports, clippy::enum_glob_use, reason = "each part uses what it needs of a row")]
        impl $Enum {
            /// The stable public code.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self {$(Self::$variant $(($($field),+))? $({$($name),+})? => $code,)+}
            }

            /// The kind of failure.
            #[must_use]
            pub fn class(&self) -> Class {
                use {Class::*, Mistake::*, Outage::*};
                match self {$(Self::$variant $(($($field),+))? $({$($name),+})? => $class,)+}
            }

            /// The step of a request at which it occurs.
            #[must_use]
            pub fn step(&self) -> Step {
                match self {$(Self::$variant { .. } => Step::$step,)+}
            }

            /// What the caller is told: what happened and what to do about it.
            #[must_use]
            pub fn message(&self) -> std::borrow::Cow<'static, str> {
                use $Enum::*;
                match self {$(Self::$variant $(($($field),+))? $({$($name),+})? => std::borrow::Cow::from($message),)+}
            }

            /// Why a file is not handed out, in one word for programs and for the log.
            #[must_use]
            pub fn reason(&self) -> Option<&'static str> {
                match self {$(Self::$variant $(($($field),+))? $({$($name),+})? => errors!(@optional $($reason)?),)+}
            }

            /// What a program can make use of, by name.
            #[must_use]
            pub fn details(&self) -> Vec<(&'static str, serde_json::Value)> {
                match self {$(Self::$variant $(($($field),+))? $({$($name),+})? => errors!(@list $($details)?),)+}
            }

            /// Every error, with what its fields may hold.
            #[cfg(not(target_family = "wasm"))]
            #[must_use]
            pub fn samples() -> Vec<Self> {
                use $Enum::*;
                let mut samples = Vec::new();
                $(samples.extend($samples);)+
                samples
            }
        }
    };
}
