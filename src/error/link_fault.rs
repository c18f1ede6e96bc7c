//! Faults of signed download links.

use super::{Class, Mistake, Outage, Step};

errors! {
    /// What is wrong with a signed download link.
    #[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
    pub enum LinkFault {
        /// Its time is over.
        #[error("expired")]
        Expired => {
            code: "LINK_EXPIRED", class: Caller(Forbidden), at: File,
            message: "This download link has expired. Ask for a new one with task_file_info.",
            samples: [Expired],
        }
        /// Its signature is for something else, or for nothing.
        #[error("signature does not match")]
        Signature => {
            code: "LINK_INVALID", class: Caller(Forbidden), at: File,
            message: "This download link is not valid. Open it exactly as task_file_info returned it, or ask for a new one.",
            samples: [Signature],
        }
        /// It has no signature.
        #[error("signature missing")]
        Missing => {
            code: "LINK_REQUIRED", class: Caller(Unauthorized), at: File,
            message: "This file opens with its signed link only. Ask for one with task_file_info.",
            samples: [Missing],
        }
    }
}
