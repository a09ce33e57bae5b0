//! Why a light client refuses what a node tells: fixed numbers, which continue those of the server.

/// Declares the reasons: number, name, sentence and what to do next stand once.
macro_rules! reasons {
    ($($code:literal $name:ident $text:literal, $hint:literal;)*) => {
        /// Why an answer is refused. The numbers are never reused and meet neither those of the ledger nor those of the server.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Distrust {
            $(#[doc = $text] $name = $code,)*
        }

        impl Distrust {
            /// Every reason.
            pub const ALL: &'static [Distrust] = &[$(Distrust::$name,)*];

            /// Its fixed number.
            #[must_use]
            pub fn code(self) -> u16 {
                self as u16
            }

            /// Its name, as programs see it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What to do next.
            #[must_use]
            pub fn hint(self) -> &'static str {
                match self {
                    $(Self::$name => $hint,)*
                }
            }
        }

        impl std::fmt::Display for Distrust {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(match self {
                    $(Self::$name => $text,)*
                })
            }
        }
    };
}

reasons! {
    1100 OtherFederation "the node belongs to another federation than the one that is trusted", "ask another node with `--node`, or give the right `--trust`";
    1101 Stale "what the node proves is too old to rely on", "ask another member's node; if the federation itself stands still, `--max-age 1d` accepts older blocks";
    1102 Ahead "the block is ahead of this machine's clock, so that its age cannot be told", "set this machine's clock";
    1103 CertificateFew "too few members signed the block", "ask another member's node with `--node`";
    1104 CertificateForeign "the certificate counts a signer that has no vote or stands twice", "ask another member's node with `--node`";
    1105 CertificateWrong "the certificate does not prove the block", "ask another member's node with `--node`";
    1106 MembersUnknown "the block is signed by members that nobody who is trusted vouches for", "ask another member's node; after very many changes of members, trust a newer block: `--trust HEIGHT:HASH`";
    1107 OtherRow "the node proves another row than the one asked for", "ask another member's node with `--node`";
    1108 ProofWrong "the proof does not lead to the root that the members signed", "ask another member's node with `--node`";
    1109 RowUnreadable "the row is proven, and this program cannot read it", "use the version of this program that the federation runs";
    1110 AnswerDiffers "the node's answer is not what it proves", "ask another member's node with `--node`";
    1111 Unreadable "the node's answer cannot be read", "check that a node of this version answers there, or ask another member's node";
    1112 Fork "members have signed two histories of the federation", "rely on neither: both headers are kept in the folder `trust` of your settings; show them to the members";
    1113 Contradiction "the node's history is not the one that was verified before", "ask another member's node with `--node`";
    1114 TrustedBlock "the node does not show the block that is trusted", "compare height and hash with several members, or ask another node with `--node`";
    1115 Withheld "the node keeps back what the ledger counts", "ask another member's node with `--node`";
}

/// A reason, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}{detail}", if detail.is_empty() { "" } else { ": " })]
pub struct Doubt {
    /// The reason.
    pub reason: Distrust,
    /// What was found; empty where the reason says it all.
    pub detail: String,
}

impl Doubt {
    /// A doubt with what was found.
    pub fn new(reason: Distrust, detail: impl ToString) -> Self {
        Self { reason, detail: detail.to_string() }
    }
}

impl From<Distrust> for Doubt {
    fn from(reason: Distrust) -> Self {
        Self { reason, detail: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::Distrust;
    use crate::error::Fault;
    use hansa_ledger::rejection::Rejection;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_of_distrust_are_its_own() {
        let codes: BTreeSet<u16> = Distrust::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Distrust::ALL.len());
        for reason in Distrust::ALL {
            let code = reason.code();
            assert!(Rejection::from_code(code).is_none() && Fault::from_code(code).is_none(), "{reason:?}");
        }
    }
}
