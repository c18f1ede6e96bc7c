//! A real run of PlanExe, where one lies beside the checkout: what holds for the sample holds for it.

use crate::{
    client::walk,
    support::{Stage, real_data, run},
};

#[test]
fn a_real_run_reaches_the_client_byte_for_byte() {
    let Some(folder) = real_data() else {
        println!("no real run beside the checkout: nothing to compare");
        return;
    };
    run(async move {
        let run = folder.join("20251026_casino_royale.zip");
        let stage = Stage::builder().with_key().working().serving(run).build().await;
        walk(&stage, Some(617_916)).await;
    });
}
