//! Counts a cron expression's matches without stepping through them.

use super::{
    civil::{DAY, Date, month_length, weekday},
    cron::Cron,
    days,
};

impl Cron {
    /// How many matches lie in `[from, upto)`, in seconds of local time.
    pub(super) fn count_in(&self, from: i64, upto: i64) -> u64 {
        if from >= upto {
            return 0;
        }
        let (first, last) = (from.div_euclid(DAY), upto.div_euclid(DAY));
        let whole = self.days_in(first, last) * self.times_before(DAY);
        // Whole days are counted from the first one's midnight, up to the last one's.
        let cut = self.days_in(first, first + 1) * self.times_before(from.rem_euclid(DAY));
        let added = self.days_in(last, last + 1) * self.times_before(upto.rem_euclid(DAY));
        whole + added - cut
    }

    /// How many days of `[from, upto)` match, in days since the epoch.
    fn days_in(&self, from: i64, upto: i64) -> u64 {
        let mut count = 0;
        let mut today = from;
        while today < upto {
            let Date { year, month, day } = Date::from_days(today);
            let first = today - i64::from(day) + 1;
            let length = month_length(year, month);
            let next_month = first + i64::from(length);
            if self.months >> month & 1 == 1 {
                let all = days::in_month(&self.days, length, weekday(first));
                let beyond = upto.min(next_month) - first + 1;
                let within = u64::MAX << day & !(u64::MAX << beyond);
                count += u64::from((u64::from(all) & within).count_ones());
            }
            today = next_month;
        }
        count
    }

    /// How many times of day lie before `time`, in seconds since midnight.
    fn times_before(&self, time: i64) -> u64 {
        let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
        let mut count = below(self.hours, hour) * ones(self.minutes) * ones(self.seconds);
        if self.hours >> hour & 1 == 1 {
            count += below(self.minutes, minute) * ones(self.seconds);
            if self.minutes >> minute & 1 == 1 {
                count += below(self.seconds, second);
            }
        }
        count
    }
}

/// How many numbers of the set are below `bound`, which is at most 60.
fn below(set: u64, bound: i64) -> u64 {
    ones(set & !(u64::MAX << bound))
}

fn ones(set: u64) -> u64 {
    u64::from(set.count_ones())
}
