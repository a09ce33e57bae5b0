//! Room for answers that take the processor for long: few at a time on threads of their own, few in line, and the rest are asked
//! to come again.

use super::answer::Problem;
use hansa_node_api::error::Fault;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// A number of places where something is computed, and a bounded line before them. Clones share both.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    places: Arc<Semaphore>,
    seats: Arc<Semaphore>,
}

impl Desk {
    /// So many places, and so many who compute or wait in line together.
    pub(super) fn new(places: usize, seats: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), seats: Arc::new(Semaphore::new(seats)) }
    }

    /// Does the work on a thread where it may take its time. Who stops waiting gives up its seat; work that has begun keeps its
    /// place to the end, so that there is never more of it than places.
    ///
    /// # Errors
    /// [`Fault::Busy`] when the line is full; [`Fault::Internal`] when the work panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let seat = self.seats.clone().try_acquire_owned().map_err(|_| Fault::Busy)?;
        let place = self.places.clone().acquire_owned().await.map_err(|_| Fault::Busy)?;
        let worked = tokio::task::spawn_blocking(move || {
            let _held = (seat, place);
            work()
        });
        worked.await.map_err(|_| Fault::Internal.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    #[tokio::test]
    async fn no_more_is_computed_at_a_time_than_there_are_places_and_no_more_wait_than_seats() {
        let desk = Desk::new(2, 5);
        let (most, now) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (begun, begins) = mpsc::channel();
        let mut gates = Vec::new();
        let mut done = Vec::new();
        for _ in 0..5 {
            let (gate, opens) = mpsc::channel::<()>();
            gates.push(gate);
            let (desk, most, now, begun) = (desk.clone(), most.clone(), now.clone(), begun.clone());
            done.push(tokio::spawn(async move {
                desk.run(move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    begun.send(()).unwrap();
                    // Ends when its gate is gone.
                    let _ = opens.recv();
                    now.fetch_sub(1, Ordering::SeqCst);
                })
                .await
            }));
        }
        while desk.seats.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let begins = tokio::task::spawn_blocking(move || {
            begins.recv().unwrap();
            begins.recv().unwrap();
            begins
        })
        .await
        .unwrap();
        assert_eq!(desk.run(|| ()).await, Err(Fault::Busy.into()));
        assert!(begins.try_recv().is_err(), "a third has begun");
        drop(gates);
        for one in done {
            assert_eq!(one.await.unwrap(), Ok(()));
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
        assert_eq!(desk.run(|| 7).await, Ok(7), "and there is room again");
        let panicked = desk.run(|| -> u8 { panic!("the work fails") }).await;
        assert_eq!(panicked, Err(Fault::Internal.into()));
    }
}
