//! Jobs in a lease.

use super::lease::{provided, requested};
use super::{Context, Perform};
use crate::event::Event;
use crate::id::{BlobHash, LeaseId};
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{Job, JobFailure, JobState, Lease, LeaseState};
use crate::tables::{Jobs, Leases};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// Submits a job into a lease. Signed by a requester key with the bid role.
    pub struct RunJob {
        /// Which lease.
        pub lease: LeaseId,
        /// The job's manifest.
        pub manifest: BlobHash,
    }

    /// Reports the end of a job. Signed by a provider key with the operate role.
    pub struct ReportJob {
        /// Which lease.
        pub lease: LeaseId,
        /// Which of its jobs.
        pub job: u32,
        /// Exit code, where it exited.
        #[serde(default)]
        pub exit_code: Option<i32>,
        /// Manifest of its outputs, where they were returned.
        #[serde(default)]
        pub outputs: Option<BlobHash>,
        /// Why it failed, where the exit code does not say it.
        #[serde(default)]
        pub failure: Option<JobFailure>,
    }
}

impl Perform for RunJob {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let lease = requested(context, &self.lease)?;
        if !matches!(lease.state, LeaseState::Awarded | LeaseState::Active) {
            return Err(Rejection::LeaseStateWrong);
        }
        context.submit_job(self.lease, lease, self.manifest)
    }
}

impl Perform for ReportJob {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let lease = provided(context, &self.lease)?;
        if lease.state == LeaseState::Awarded {
            return Err(Rejection::LeaseNotYet);
        }
        let key = (self.lease, self.job);
        let mut job = context.view.get::<Jobs>(&key).cloned().ok_or(Rejection::JobUnknown)?;
        if job.state != JobState::Submitted {
            return Err(Rejection::JobStateWrong);
        }
        let succeeded = self.exit_code == Some(0) && self.outputs.is_some() && self.failure.is_none();
        job.state = if succeeded { JobState::Succeeded } else { JobState::Failed };
        job.ended_at = Some(context.now);
        job.exit_code = self.exit_code;
        job.outputs = self.outputs;
        job.failure = self.failure;
        let state = job.state;
        context.view.put::<Jobs>(key, job);
        context.emit(Event::JobEnded { lease: self.lease, job: self.job, state, outputs: self.outputs });
        Ok(())
    }
}

impl super::BlockInHand<'_> {
    /// Adds a job to a lease.
    pub(crate) fn submit_job(
        &mut self,
        id: LeaseId,
        mut lease: Lease,
        manifest: BlobHash,
    ) -> Result<(), Rejection> {
        if lease.jobs >= self.params.lease_jobs_max {
            return Err(Rejection::TooManyJobs);
        }
        let number = lease.jobs;
        let job = Job {
            manifest,
            state: JobState::Submitted,
            submitted_at: self.now,
            ended_at: None,
            exit_code: None,
            outputs: None,
            failure: None,
        };
        lease.jobs = number.saturating_add(1);
        let provider = lease.provider;
        self.view.put::<Jobs>((id, number), job);
        self.view.put::<Leases>(id, lease);
        self.emit(Event::JobSubmitted { lease: id, job: number, manifest, provider });
        Ok(())
    }
}
