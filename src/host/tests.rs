//! What hangs costs its own place, and no more threads than there may be.

use std::sync::mpsc;

use super::*;

const SOON: Duration = Duration::from_millis(20);

fn question(place: &str) -> Question {
    Question::of(place, "looking at it").within(SOON)
}

/// Asks something that hangs until the gate is gone.
async fn hang(places: &Places, place: &str, gate: &Gate) -> Unanswered {
    let gate = gate.clone();
    let asked = places.ask(question(place), move || {
        let _ = gate.lock().unwrap().recv();
    });
    asked.await.unwrap_err()
}

type Gate = Arc<Mutex<mpsc::Receiver<()>>>;

fn gate() -> (mpsc::Sender<()>, Gate) {
    let (open, gate) = mpsc::channel();
    (open, Arc::new(Mutex::new(gate)))
}

#[tokio::test]
async fn a_place_that_hangs_is_refused_at_once_and_no_other_is() {
    let (places, (open, go)) = (Places::of(10), gate());
    for _ in 0..AT_A_PLACE {
        let hangs = hang(&places, "/mnt/dead", &go).await;
        assert!(matches!(hangs, Unanswered::Hangs { .. }), "{hangs}");
    }
    let refused = places.begin(question("/mnt/dead")).await.unwrap_err();
    assert!(
        matches!(&refused, Unanswered::Refused { hang: 4, place, .. } if place == "/mnt/dead"),
        "{refused}"
    );
    assert_eq!(places.ask(question("/mnt/alive"), || 7).await, Ok(7));
    drop(open);
    while places.hang() != 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(places.ask(question("/mnt/dead"), || 8).await, Ok(8));
}

#[tokio::test]
async fn what_takes_no_thread_is_counted_where_it_hangs() {
    let places = Places::of(10);
    let mut under_way = Vec::new();
    for _ in 0..2 * AT_A_PLACE {
        under_way.push(places.begin(question("a program")).await.unwrap());
    }
    assert!(places.begin(question("a program")).await.is_ok());
    tokio::time::sleep(SOON).await;
    let refused = places.begin(question("a program")).await.unwrap_err();
    assert!(matches!(refused, Unanswered::Refused { .. }), "{refused}");
    under_way.clear();
    assert!(places.begin(question("a program")).await.is_ok());
}

#[tokio::test]
async fn threads_that_hang_are_bounded_in_all() {
    let (places, (open, go)) = (Places::of(3), gate());
    for place in ["a", "b", "c"] {
        hang(&places, place, &go).await;
    }
    let refused = places.ask(question("d"), || 9).await.unwrap_err();
    assert!(
        matches!(refused, Unanswered::Full { hang: 3, .. }),
        "{refused}"
    );
    drop(open);
}

#[tokio::test]
async fn more_than_fit_are_asked_one_after_the_other() {
    let places = Arc::new(Places::of(2));
    let asked = (0..50).map(|n| {
        let places = places.clone();
        async move {
            let long = question("busy").within(Duration::from_secs(60));
            places.ask(long, move || n).await
        }
    });
    let answers = futures_util::future::join_all(asked).await;
    assert!((0..50).eq(answers.into_iter().map(Result::unwrap)));
    assert_eq!(places.place("another").hang().count, 0);
    assert_eq!(
        places.known.lock().unwrap().len(),
        1,
        "others are forgotten"
    );
}

#[test]
fn a_file_is_asked_for_where_it_is_mounted() {
    let mounts = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                  22 21 0:5 / /mnt/nas rw - nfs nas:/ rw\n\
                  23 22 0:6 / /mnt/nas/in\\040it rw - nfs nas:/b rw\n";
    let of = |path: &str| mount_of(Path::new(path), mounts).map(unescaped);
    assert_eq!(of("/mnt/nas/bin/tool").as_deref(), Some("/mnt/nas"));
    assert_eq!(of("/mnt/nas2/bin/tool").as_deref(), Some("/"));
    assert_eq!(of("/mnt/nas/in it/tool").as_deref(), Some("/mnt/nas/in it"));
    assert_eq!(place_of(Path::new("/no/such/file")), "/no/such/file");
}
