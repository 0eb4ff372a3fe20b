//! What rustic_core uses of rustic_cdc 0.3.1 (MIT, <https://github.com/rustic-rs/cdc>), with one change: the tables
//! of a polynomial are worked out once instead of anew for each file.

mod polynom;
mod rolling_hash;

pub use polynom::{Polynom, Polynom64};
pub use rolling_hash::{Rabin64, RollingHash64};
