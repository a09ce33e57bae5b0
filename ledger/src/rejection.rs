//! Why something is refused: sentences with fixed numbers.

use serde::Serialize;

/// Declares the refusals: number, name, sentence, and what to do next stand once.
macro_rules! rejections {
    ($($code:literal $name:ident $text:literal, $hint:literal;)*) => {
        /// Why a transaction or an action is refused. The numbers are wire format: never renumbered, never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Rejection {
            $(#[doc = $text] $name = $code,)*
        }

        impl Rejection {
            /// Every refusal.
            pub const ALL: &'static [Rejection] = &[$(Rejection::$name,)*];

            /// Its fixed number.
            #[must_use]
            pub fn code(self) -> u16 {
                self as u16
            }

            /// The refusal of this number.
            #[must_use]
            pub fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
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

        impl std::fmt::Display for Rejection {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(match self {
                    $(Self::$name => $text,)*
                })
            }
        }
    };
}

impl std::error::Error for Rejection {}

impl Serialize for Rejection {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Rejection {
    /// Whether the same transaction may be accepted later.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::NonceGap
                | Self::QuotaExceeded
                | Self::MempoolFull
                | Self::FuelExhausted
                | Self::LeaseNotYet
        )
    }
}

rejections! {
    // 1 to 99: the transaction itself.
    1 Malformed "the bytes are not one canonical transaction", "build transactions with the client library or `hansa submit`";
    2 TransactionTooLarge "the transaction is larger than the federation allows", "split its actions over several transactions";
    3 TooManyActions "the transaction has no action, or more than the federation allows", "put 1 to `transaction_actions_max` actions into it";
    4 WrongChain "the transaction is for another federation", "check which node you talk to: `hansa chain status`";
    5 BadSignature "the signature does not match the content and the signer's key", "sign again with the key that stands as signer";
    6 Expired "the transaction's valid-until has passed", "sign again with a later valid-until";
    7 ValidUntilTooFar "the transaction's valid-until lies too far ahead", "choose a valid-until within `transaction_validity_ms_max`";
    8 UnknownKey "the signer's key belongs to no organisation or office", "ask your registrar for accreditation, or your administrator to add the key";
    9 KeyRevoked "the signer's key was taken back", "sign with another key of the organisation";
    10 NonceUsed "the nonce was used before", "ask the node for the key's next nonce and sign again";
    11 NonceGap "a nonce before this one is missing", "send the missing transactions first";
    12 QuotaExceeded "the organisation has used its actions or bytes for this epoch", "wait for the next epoch";
    13 MempoolFull "the node holds as many waiting transactions as it can", "try again in a moment, or another node";
    14 TooManyWaiting "too many transactions of this organisation are waiting", "wait until some are final";
    15 AlreadyKnown "the transaction is waiting or final already", "nothing is to be done";
    16 FuelExhausted "the contracts of this block have used up its fuel", "nothing is to be done: the next block takes it";
    // 100 to 199: who may do what.
    100 RoleMissing "the signer's key does not have the role for this", "sign with a key that has it: `hansa account show`";
    101 NotRegistrar "only the home member's registrar may do this", "ask the registrar of the organisation's home member";
    102 NotTreasury "only the home member's treasury may do this", "ask the treasury of the organisation's home member";
    103 OrganisationUnknown "there is no such organisation", "list the organisations: `hansa org list`";
    104 OrganisationRevoked "the organisation's accreditation was revoked", "ask the registrar of its home member";
    105 OrganisationExpired "the organisation's accreditation has expired", "ask the registrar of its home member to renew it";
    106 OrganisationExists "this register number is accredited already", "use the organisation that exists";
    107 KeyInUse "the key is registered already", "make a new one: `hansa key new`";
    108 KeyWeak "the key is not a sound Ed25519 key", "make a new one: `hansa key new`";
    109 KeyUnknown "the organisation has no such key", "list its keys: `hansa account show`";
    110 KeyLast "the last administrator key of an organisation cannot be taken away", "add another administrator key first";
    111 TooManyKeys "the organisation has as many keys as it may have", "remove one first";
    112 RolesInvalid "the set of roles is empty or has unknown bits", "choose from bid, offer, operate, treasury, admin, contract";
    113 AmountOverKeyLimit "the amount is over what this key may bind", "sign with a key that has a higher limit";
    114 RegisterNumberInvalid "the register number is empty, too long or not plain text", "write it as the register does, up to 64 characters";
    115 ValidityInvalid "the accreditation or grant would end before it begins", "choose a later end";
    150 OrderNeeded "the office acts by more than one key", "nothing is to be done: the action becomes an order that awaits the other keys";
    151 NotGovernance "only the member's governance office may do this", "ask the governance office of the member";
    152 OrderUnknown "there is no such order of this office that awaits approval", "list the orders: `hansa office orders`";
    153 OrderApproved "this key has approved the order before, and it takes another", "have another key of the office approve it";
    154 NotProposer "only the key that proposed the order may take it back", "leave it unapproved: it lapses by itself";
    155 TooManyOrders "as many orders of the office await approval as may", "approve or cancel one first: `hansa office orders`";
    156 ThresholdInvalid "the threshold is zero or above the number of the office's keys", "choose one from 1 to the number of keys: `hansa office show`";
    157 TooManyOfficeKeys "the office has as many keys as it may have", "remove one first";
    158 OfficeKeyNeeded "the office would have fewer keys than it takes to act", "add a key, or lower the threshold first";
    159 OfficeKeyUnknown "the office has no such key", "list its keys: `hansa office show`";
    160 PossessionMissing "the key is new, and nothing proves that its holder agreed", "have its holder make the proof: `hansa key prove`";
    161 PossessionInvalid "the proof of possession is not a signature of the new key for this federation and principal", "have its holder make the proof again: `hansa key prove`";
    162 PossessionElsewhere "the proof of possession is for another organisation or office", "have its holder make one for this one: `hansa key prove`";
    // 190 to 199: what could never be matched, and sponsors.
    190 AlternativesInvalid "the alternatives are more than seven, or name a class twice", "name up to seven other classes, each once";
    191 LimitBelowTick "the limit is below the least price there is", "offer at least 0.001 EUR per accelerator-hour";
    192 ReserveIneligible "the request asks for the reserve only, which is for eligible organisations that pay with grants alone", "leave the lane open, or pay with grants alone";
    193 RequestOverCap "the least quantity is over what one group may hold of the class", "ask for fewer accelerators, or accept fewer";
    194 RequestOverSite "no site that meets the constraints has as many accelerators", "ask for fewer accelerators, or accept fewer";
    195 BeyondHorizon "the latest start is further ahead than capacity is traded", "choose a start within `horizon_slots`";
    196 ReservePriceOverLimit "every offer that could serve it out of the reserve costs more than the limit", "raise the limit: `hansa market price`";
    197 NotSponsor "only the treasury of the member whose grant pays the lease may do this", "ask the treasury that issued the grant";
    198 NotObjectionable "nothing is held back for the lease, or its audit window has passed, or it was objected to before", "look at the lease: `hansa lease show`";
    170 ProposalUnknown "there is no such proposal", "list the proposals: `hansa governance list`";
    171 ProposalClosed "the vote on this proposal is over", "look at it: `hansa governance show`";
    174 VoteGiven "the member has voted so already", "nothing is to be done; a vote can be changed until the decision";
    175 DelayInvalid "the change would act sooner after the vote than its kind allows, or more than a year after it", "look at the delays: `hansa governance parameters`";
    176 JointUndertaking "`EU` has no vote and no seat", "name a member state";
    177 TooManyProposals "the member has as many open proposals as it may have", "wait until one is decided";
    178 ParameterUnknown "there is no such parameter", "list them: `hansa governance parameters`";
    179 ParameterFixed "the parameter is fixed at genesis", "nothing can change it";
    180 ParameterBounds "the value is outside the parameter's bounds", "list the bounds: `hansa governance parameters`";
    181 ParametersInvalid "the list of parameters is empty, too long, or names one twice", "give 1 to 64 parameters, each once";
    182 MemberUnknown "there is no such member", "list the members: `hansa chain status`";
    183 MemberExists "it is a member already", "nothing is to be done";
    184 MembersOverlap "the change would replace a third or more of the members at once", "let other members join first";
    185 MembersChanging "the members change in this block already", "sign and send it again";
    186 LimitTooLow "the debit cap is below what the member owes and what its leases hold", "choose a higher cap, or wait for the next clearing";
    187 LimitTooHigh "the members' issue limits together would be more than money of account can express", "choose a lower limit";
    188 UpgradeInvalid "the protocol version is not above the present one, or its height is not ahead", "choose a later height: `hansa chain status`";
    189 UpgradePending "another upgrade awaits its height", "propose it again after that height";
    // 200 to 299: money.
    200 AmountZero "the amount is zero", "choose an amount above zero";
    201 FundsInsufficient "the purse holds less than the amount", "look at the balances: `hansa account show`";
    202 IssueLimit "the member would have issued more than its limit", "issue less, or have the federation vote a higher limit";
    203 DebitCap "the member would owe more than its debit cap", "wait for the next clearing, or use capacity at home";
    204 GrantUnknown "there is no such grant of this organisation", "list the grants: `hansa account show`";
    205 GrantExpired "the grant has expired", "use another source";
    206 GrantPurpose "the grant is for another purpose", "use a grant for this purpose, or cash";
    207 GrantExists "this reference was used for a grant before", "choose a new reference";
    208 DepositExists "this deposit was attested before", "each bank reference counts once";
    209 Overflow "the figures are too large to compute with", "choose smaller figures";
    210 SourcesInvalid "the sources are not 1 to `request_sources_max` different purses whose shares sum to 100 %", "give shares that sum to 10,000 basis points";
    211 TransferToSelf "payer and payee are the same", "choose another payee";
    // 300 to 399: sites, offers.
    300 SiteUnknown "the site has no accredited capacity of this class", "ask the host member's registrar to accredit it";
    301 SiteInvalid "the site's figures are zero or contradict each other", "give accelerators and node size above zero, node size not above accelerators";
    302 OfferOverInventory "the offer is over the accredited capacity that is left", "offer less, or withdraw the other offer of the site";
    303 OfferUnknown "there is no such open offer of this provider", "list the offers: `hansa offer list`";
    304 CalendarInvalid "the calendar is not a sorted list of changes that ends in zero within the horizon", "give rising slots, no repeated capacity, 0 at the end";
    305 PriceInvalid "the price is not a multiple of a tenth of a cent", "round it to 0.001 EUR";
    306 ContractUnknown "there is no such contract", "list the contracts: `hansa chain status`";
    307 ContractRefused "the contract refuses these parameters", "check them against the contract's documentation";
    308 OfferBelowLeases "leases stand in capacity that the offer would take away", "keep at least what is leased";
    309 OfferExists "the site has an open offer of this class already", "amend or withdraw it";
    311 SitePartsInvalid "the parts of the site do not sum to its accelerators, repeat an owner, or name one that is no member", "list each owner once, with parts that sum to the whole";
    312 SiteOwnConfirmation "a site is confirmed by another member than the one it stands in", "ask the registrar of another member";
    313 SiteDiffers "the site is accredited with another number of accelerators", "confirm the number that stands there, or ask its own registrar to correct it";
    314 OfferOwnerMissing "the site has several owners, and the offer does not say whose part it is", "name the owner: `private`, `EU` or a member";
    315 ReserveInvalid "the reserve is below the federation's least share, over everything, or of private capacity", "offer at least `reserve_bps_min` of public capacity, and no reserve of private";
    316 OutageInvalid "the outage is of nothing, of more than there is, in the past or beyond the horizon", "give accelerators of the site and slots that lie ahead";
    317 OutageUnknown "there is no such outage of this provider", "list them: `hansa site outages`";
    321 ReserveCycleRunning "the offer withdrawn before it met its reserve over a cycle that is still running, or in which leases still stand", "post it with the same cycle and no lower share, or wait until that cycle ends";
    320 CommercialCeiling "the pool has sold as much as it may to commercial users this year", "place a request: another pool may serve it";
    310 CountryInvalid "the country is no member state, or not the registrar's", "accredit a site with the registrar of the country it stands in";
    // 400 to 499: requests.
    400 RequestUnknown "there is no such open request of this organisation", "list the requests: `hansa request list`";
    401 QuantityInvalid "the quantity is zero, or the least quantity is above it", "ask for at least one accelerator";
    402 DurationInvalid "the length is zero or over the longest lease", "choose a length within `lease_slots_max`";
    403 WindowInvalid "the latest start is before the earliest, in the past, or beyond the horizon", "choose a window that lies ahead";
    404 ClassUnknown "there is no such resource class", "list the capacity: `hansa capacity list`";
    405 RequestImpossible "no site could ever meet the constraints", "widen countries, certificates or tier, or ask for fewer accelerators";
    406 TooManyRequests "the organisation has as many open requests as it may have", "cancel one first";
    // 500 to 599: leases, usage, jobs.
    500 LeaseUnknown "there is no such lease of this organisation", "list the leases: `hansa lease list`";
    501 LeaseNotYet "the lease has not begun", "wait for its start";
    502 LeaseStateWrong "the lease is not in the state for this", "look at it: `hansa lease show`";
    503 UsageBackwards "the reported usage is below what was reported before", "report cumulative usage";
    504 UsageOverLease "the reported usage is more than the lease can have delivered", "report at most accelerators times seconds since the start";
    505 UsageUnreported "the usage was not reported", "countersign at most what the provider reported";
    506 UsageFinal "the final usage was reported before", "nothing more can be reported";
    507 NotContestable "there is no final report to contest, or the admitted usage is not below it", "look at the lease: `hansa lease show`";
    508 JobUnknown "there is no such job in the lease", "list the jobs: `hansa job list`";
    509 JobStateWrong "the job's end was reported before", "nothing more can be reported";
    510 TooManyJobs "the lease has as many jobs as it may have", "use another lease";
    511 ListInvalid "the list is empty, too long, or names something twice", "give each lease once";
    512 ExtensionSponsored "a grant pays the lease, and grants pay only for what a batch awards", "place a request for the slots after the lease's end";
    513 ExtensionOfReserve "the lease came out of the reserve, which only a batch gives", "place a request for the slots after the lease's end";
    514 ExtensionPriceLow "the lease's price is below what its offer asks now, or below the class's last price", "place a request for the slots after the lease's end: `hansa market price`";
    515 ExtensionPriceOver "an extension pays the lease's own price, which is over the most that was to be paid", "allow the lease's price, or place a request for the slots after its end";
    516 ExtensionTooLong "the lease would be longer than `lease_slots_max`, of too many parts, or reach beyond `horizon_slots`", "extend it by less, or place a request for the slots after its end";
    517 ExtensionNotFree "the lease's offer has too little free in the slots that follow", "extend it by less, or place a request for the slots after its end";
    518 ExtensionOfferChanged "the offer the lease came from was withdrawn, or has another contract by now", "place a request for the slots after the lease's end";
    519 ExtensionOverCap "the group would hold more of the class in the slots that follow than one group may", "extend it by less, or wait until other leases of the group end";
    // 520 to 559: contracts.
    520 ContractExists "this code is on the ledger already", "use the contract that exists: `hansa contract show`";
    521 ContractStateWrong "the contract is not in the state for this", "look at it: `hansa contract show`";
    522 ContractInactive "the contract is not active, so no new offer, lease or alias may name it", "choose an active one: `hansa contract list`";
    523 NotDeployer "only who deployed the contract, or the governance offices of the members, may do this", "ask the contract's deployer";
    524 ContractOwnApproval "the member's own treasury deployed the contract, and who deploys does not approve", "ask the governance offices of other members";
    525 ModuleSizeInvalid "the module is empty or has more than 65,536 bytes", "build it with optimisation and strip it";
    526 ReasonInvalid "the reason is empty, longer than 200 bytes or not plain text", "say in a sentence why";
    527 TooManyUploads "as many contracts of this deployer await approval as may", "wait until one is decided, or end one";
    528 TooManyAliases "the federation has as many aliases as it may have", "point one of them to the contract";
    529 AliasCurrent "the alias points there already, or will", "nothing is to be done";
    530 DepositSourceInvalid "a treasury must name the budget line that pays the deposit, and an organisation pays it in cash", "name a budget line, or leave it out";
    // 560 to 579: stakes, payments in between, disputes.
    560 StakeUnfunded "the provider's cash does not cover the stake that the contract asks of it", "have the provider deposit more: the stake returns when the lease is settled";
    561 PartiesInvalid "the offer names more than twelve organisations, one twice, or its own provider", "name up to twelve others, each once";
    562 InterimNotAllowed "the lease pays only when it is settled", "wait for its end";
    563 InterimTooSoon "a payment was claimed too short a time ago", "claim again after the lease's `interim_interval_ms`";
    564 TooManyInterims "as many payments were claimed in this lease as may be", "wait for its end: the settlement pays the rest";
    565 NotDisputable "there is nothing to dispute: no final report, no time left, or the usage claimed is no middle between the two sides'", "look at the lease: `hansa lease show`";
    566 DisputeOpen "a dispute over the lease is open: its figures stand until the panel has ruled", "wait for the ruling or its deadline";
    567 DisputeUnknown "there is no open dispute over the lease", "list the disputes: `hansa lease show`";
    568 NotPanel "only the registrars of the dispute's panel rule: of members that had a vote when it was opened and are home to no party", "nothing is to be done: the panel rules";
    569 RulingInvalid "the provider's part is above 10,000 basis points", "give 0 to 10,000";
    570 RulingGiven "the member has ruled so already", "nothing is to be done; a ruling can be changed until the majority";
    // 580 to 589: metering windows.
    580 TooManyWindows "the lease has as many windows with different readings as it may have", "report the rest without a reading, or under the last one";
    // 590 to 599: more of the market.
    590 ExtensionAwaited "somebody waits for the class's next batch who could have these slots", "extend it after the batch, as far as the slots are free then, or by less";
}
