//! How an async program calls the library: every call on a thread that may block, the answer by a channel.
//!
//! The library is synchronous and its handles are `Send + Sync`, so the bridge is a few lines with any runtime; with
//! tokio it is `tokio::task::spawn_blocking`.  Here a small executor of our own stands in for the runtime, so that the
//! example needs none.

use std::error::Error;
use std::fs::File;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use lvm_native::pool::{self, CreatePool, CreateReplica, System};
use uuid::Uuid;

fn main() -> Result<(), Box<dyn Error>> {
    block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("disk.img");
    File::create(&image)?.set_len(64 << 20)?;
    let system = System::embedded()
        .devices(vec![image.clone()])
        .lock_dir(folder.path().join("lock"))
        .build()?;

    // A handle is cheap to clone: each call takes its own clone along.
    let pool = spawn_blocking(move || system.create_pool(&CreatePool::new("async", vec![image]))).await?;
    let replicas = [1, 2, 3].map(|n| {
        let pool = pool.clone();
        spawn_blocking(move || pool.create_replica(&CreateReplica::new(Uuid::new_v4(), n << 20)))
    });
    // All three run at once; each waits for the others at the pool's lock, on its own thread.
    for replica in replicas {
        let replica = replica.await?;
        println!("replica {} of {} bytes", replica.uuid, replica.size);
    }
    let info = spawn_blocking(move || pool.info()).await?;
    println!("pool {} uses {} of {} bytes", info.name, info.used, info.capacity);
    Ok(())
}

/// What the thread leaves and who waits for it.
struct Shared<T> {
    answer: Option<Result<T, pool::Error>>,
    waker: Option<Waker>,
}

/// A call under way on a thread of its own.
struct Call<T>(Arc<Mutex<Shared<T>>>);

/// Runs `call` on a thread that may block.
fn spawn_blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, pool::Error> + Send + 'static,
) -> Call<T> {
    let shared = Arc::new(Mutex::new(Shared {
        answer: None,
        waker: None,
    }));
    let for_thread = shared.clone();
    thread::spawn(move || {
        let answer = call();
        let mut shared = for_thread.lock().unwrap_or_else(PoisonError::into_inner);
        shared.answer = Some(answer);
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
    });
    Call(shared)
}

impl<T> Future for Call<T> {
    type Output = Result<T, pool::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                shared.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Wakes the thread that drives the future.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}
