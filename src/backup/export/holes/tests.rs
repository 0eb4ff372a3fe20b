//! Files of which the holes are taken out, and put in again.

use super::*;

fn looked(content: &[u8], piece: usize) -> (Map, Option<Vec<u8>>) {
    let mut looking = Looking::new(content.len() as u64);
    for bytes in content.chunks(piece) {
        looking.write_all(bytes).unwrap();
    }
    looking.finish()
}

fn picked(map: &Map, content: &[u8], piece: usize) -> Vec<u8> {
    let mut picking = Picking::new(map, Vec::new());
    for bytes in content.chunks(piece) {
        picking.write_all(bytes).unwrap();
    }
    picking.into
}

fn filled(map: Map, data: &[u8]) -> Vec<u8> {
    let mut filled = Vec::new();
    Filled::new(map, data).read_to_end(&mut filled).unwrap();
    filled
}

/// Zeros, but for a byte at each of these places.
fn content(size: usize, places: &[usize]) -> Vec<u8> {
    let mut content = vec![0; size];
    for at in places {
        content[*at] = 7;
    }
    content
}

#[test]
fn a_file_is_the_same_with_its_holes_taken_out_and_put_in_again() {
    const SIZE: usize = 40 * BLOCK + 77;
    for places in [
        &[][..],
        &[0],
        &[SIZE - 1],
        &[0, SIZE - 1],
        &[5 * BLOCK],
        &[BLOCK, 2 * BLOCK - 1, 2 * BLOCK, 30 * BLOCK + 9],
    ] {
        let content = content(SIZE, places);
        for piece in [1, 1000, BLOCK, 3 * BLOCK + 1, SIZE] {
            let (map, kept) = looked(&content, piece);
            let kept = kept.unwrap();
            assert_eq!(map.size, SIZE as u64);
            assert_eq!(map.data(), kept.len() as u64);
            assert_eq!(picked(&map, &content, piece), kept, "{places:?} by {piece}");
            assert!(filled(map, &kept) == content, "{places:?} by {piece}");
        }
    }
    let stretch = |at: usize, length: usize| Stretch {
        at: at as u64,
        length: length as u64,
    };
    let (map, _) = looked(&content(SIZE, &[BLOCK, 2 * BLOCK, SIZE - 1]), 1000);
    let expected = [stretch(BLOCK, 2 * BLOCK), stretch(40 * BLOCK, 77)];
    assert_eq!(map.stretches, expected);
}

#[test]
fn a_few_zeros_and_nothing_at_all_are_no_holes() {
    assert!(!looked(&[], 1).0.is_sparse());
    assert!(!looked(&vec![7; 1 << 20], 1000).0.is_sparse());
    let least = LEAST as usize;
    let is_sparse = |size: usize, data: usize| {
        let content = [vec![7_u8; data], vec![0; size - data]].concat();
        looked(&content, 1 << 20).0.is_sparse()
    };
    assert!(!is_sparse(least, BLOCK));
    assert!(is_sparse(least + BLOCK, BLOCK));
    // A quarter of it, too.
    assert!(is_sparse(4 * least, 3 * least));
    assert!(!is_sparse(4 * least + BLOCK, 3 * least + BLOCK));
}

#[test]
fn what_holds_much_and_no_holes_is_not_looked_through() {
    let piece = vec![7; 1 << 20];
    let taken = |first: &[u8]| {
        let mut looking = Looking::new(100 << 20);
        looking.write_all(first).unwrap();
        let taken = (0..99).take_while(|_| looking.write_all(&piece).is_ok());
        let taken = taken.count();
        (taken, looking.is_in_vain())
    };
    assert_eq!(taken(&piece), (8, true));
    // A hole comes first: until there is no room for enough of them.
    assert_eq!(taken(&vec![0; 1 << 20]), (76, true));
}

#[test]
fn of_very_many_holes_the_small_ones_are_data() {
    // Data and small holes, and a large one in the middle.
    let count = STRETCHES + STRETCHES / 4;
    let size = (2 * count + 50) * BLOCK;
    let moved = |at: usize| if at < count / 2 { 0 } else { 50 };
    let places = (0..count).map(|at| (2 * at + moved(at)) * BLOCK);
    let places: Vec<usize> = places.collect();
    let content = content(size, &places);
    let (map, kept) = looked(&content, 1 << 20);
    assert_eq!(kept, None, "it is too much");
    assert!(map.stretches.len() <= STRETCHES, "{}", map.stretches.len());
    let large = map.stretches.windows(2).any(|two| {
        let hole = two[1].at - two[0].end();
        50 * BLOCK as u64 <= hole
    });
    assert!(large);
    let data = picked(&map, &content, (1 << 20) + 1);
    assert_eq!(data.len() as u64, map.data());
    let mut filled = Filled::new(map, data.as_slice());
    let mut bytes = vec![1; 1 << 20];
    for piece in content.chunks(bytes.len()) {
        let bytes = &mut bytes[..piece.len()];
        filled.read_exact(bytes).unwrap();
        assert!(bytes == piece);
    }
    assert_eq!(filled.read(&mut bytes).unwrap(), 0);
}

#[test]
fn data_that_is_cut_off_is_an_error() {
    let content = content(40 * BLOCK, &[0, 39 * BLOCK]);
    let (map, kept) = looked(&content, BLOCK);
    let kept = kept.unwrap();
    let mut filled = Filled::new(map, &kept[..kept.len() - 1]);
    let error = filled.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
