//! The envelope: who signs, for which federation, in which order, until when, and what.

use crate::action::Action;
use crate::id::{ChainId, TransactionId};
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::time::TimeMs;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::{Enclosed, PublicKey, SecretKey, Signature, SignatureError, Signed};
use serde::{Deserialize, Serialize};

/// Domain tag of what a transaction's signature covers.
const DOMAIN: &[u8] = b"hansa/transaction/1\0";

data! {
    /// What is signed.
    pub struct Transaction {
        /// The federation it is for.
        pub chain: ChainId,
        /// The key that signs.
        pub signer: PublicKey,
        /// Transactions this key has had executed before.
        pub nonce: u64,
        /// Last block time at which it may be executed.
        pub valid_until: TimeMs,
        /// What to do, all or nothing.
        pub actions: Vec<Action>,
    }

    /// A transaction and its signature.
    pub struct SignedTransaction {
        /// What is signed.
        pub transaction: Transaction,
        /// The signature of `transaction.signer`.
        pub signature: Signature,
    }
}

impl Transaction {
    /// The hash of the unsigned content.
    #[must_use]
    pub fn id(&self) -> TransactionId {
        TransactionId::derive(self)
    }

    /// The canonical bytes a signature covers.
    #[must_use]
    pub fn signing_bytes(&self) -> Vec<u8> {
        let mut bytes = DOMAIN.to_vec();
        borsh::to_writer(&mut bytes, self).expect("encoding into memory cannot fail");
        bytes
    }

    /// Signs the transaction; the key must be the one that stands as signer.
    #[must_use]
    pub fn sign(self, key: &SecretKey) -> SignedTransaction {
        let signature = key.sign(&self.signing_bytes());
        SignedTransaction { transaction: self, signature }
    }
}

impl SignedTransaction {
    /// The id of the transaction.
    #[must_use]
    pub fn id(&self) -> TransactionId {
        self.transaction.id()
    }

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("encoding into memory cannot fail")
    }

    /// Reads one transaction from exactly these bytes.
    ///
    /// # Errors
    /// [`Rejection::TransactionTooLarge`], or [`Rejection::Malformed`] when bytes are left over or the encoding is not the
    /// canonical one.
    pub fn decode(bytes: &[u8], params: &Params) -> Result<Self, Rejection> {
        if bytes.len() > params.transaction_bytes_max as usize {
            return Err(Rejection::TransactionTooLarge);
        }
        let transaction: Self = borsh::from_slice(bytes).map_err(|_| Rejection::Malformed)?;
        if transaction.encode() != bytes {
            return Err(Rejection::Malformed);
        }
        Ok(transaction)
    }

    /// Why a transaction is refused whose signatures do not hold.
    #[must_use]
    pub fn refusal(error: SignatureError) -> Rejection {
        match error {
            SignatureError::EnclosedMismatch => Rejection::PossessionInvalid,
            SignatureError::KeyMalformed | SignatureError::Mismatch => Rejection::BadSignature,
        }
    }

    /// Checks the shape: what can be said without the state.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self, chain: &ChainId, params: &Params) -> Result<(), Rejection> {
        let count = self.transaction.actions.len();
        if count == 0 || count > params.transaction_actions_max as usize {
            return Err(Rejection::TooManyActions);
        }
        if self.transaction.chain != *chain {
            return Err(Rejection::WrongChain);
        }
        self.transaction.actions.iter().try_for_each(|action| action.check(params))
    }
}

impl Signed for SignedTransaction {
    fn signer(&self) -> PublicKey {
        self.transaction.signer
    }

    fn signature(&self) -> Signature {
        self.signature
    }

    fn signing_bytes(&self) -> Vec<u8> {
        self.transaction.signing_bytes()
    }

    fn enclosed(&self) -> Vec<Enclosed> {
        let Transaction { chain, actions, .. } = &self.transaction;
        let proofs = actions.iter().filter_map(Action::possession);
        proofs.map(|(key, proof)| proof.enclosed(*chain, key)).collect()
    }
}
