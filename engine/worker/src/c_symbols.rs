//! The C functions QuickJS's code finds instead of the machine's libc.
//!
//! The worker is linked with `--wrap=NAME` for each (`build.rs` has the list), so a call of `NAME`
//! from C arrives at `__wrap_NAME` here. Time is the turn's and in UTC; floating point is crate
//! libm's, since glibc picks its variants by processor and gives different last bits with and
//! without FMA. vsnprintf is libc's, looked at in passing: it is where a stack that ran out shows,
//! and where the parser is when it has something to say.
#![allow(
    unsafe_code,
    reason = "answering for C functions takes their names and pointers"
)]

use std::ffi::CStr;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use libc::{c_char, c_int, c_long, c_void, clockid_t, time_t, timespec, timeval, tm};

use super::{abort, parsing};

/// What QuickJS and its regexp compiler say when JavaScript's stack has run out. Both are whole
/// formats of a call of vsnprintf, so an error a program makes itself, whatever its text, is none
/// of these: that text is an argument and never a format.
const STACK_RAN_OUT: [&CStr; 2] = [c"Maximum call stack size exceeded", c"stack overflow"];

/// The time a genesis heap is made at, milliseconds since 1970. QuickJS seeds with it, and turns a
/// seed of zero into another, so any fixed number will do.
pub const GENESIS_TIME_MS: i64 = 0;

static TIME_MS: AtomicI64 = AtomicI64::new(0);

/// Fixes the time until it is set again.
pub fn set_time(ms: i64) {
    TIME_MS.store(ms, Relaxed);
}

/// Does something as if it were the time at which genesis heaps are made.
pub fn at_genesis_time<T>(work: impl FnOnce() -> T) -> T {
    let now = TIME_MS.swap(GENESIS_TIME_MS, Relaxed);
    let done = work();
    TIME_MS.store(now, Relaxed);
    done
}

/// The time, as it was fixed.
pub fn time_ms() -> i64 {
    TIME_MS.load(Relaxed)
}

fn seconds_and_rest() -> (i64, i64) {
    let ms = time_ms();
    (ms.div_euclid(1000), ms.rem_euclid(1000))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_gettimeofday(at: *mut timeval, _zone: *mut c_void) -> c_int {
    let (tv_sec, rest) = seconds_and_rest();
    // SAFETY: the caller passes room for a timeval.
    unsafe {
        at.write(timeval {
            tv_sec,
            tv_usec: rest * 1000,
        })
    };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_clock_gettime(_clock: clockid_t, at: *mut timespec) -> c_int {
    let (tv_sec, rest) = seconds_and_rest();
    // SAFETY: the caller passes room for a timespec.
    unsafe {
        at.write(timespec {
            tv_sec,
            tv_nsec: rest * 1_000_000,
        })
    };
    0
}

/// UTC, whatever the machine's time zone.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_localtime_r(time: *const time_t, out: *mut tm) -> *mut tm {
    // SAFETY: the caller passes a time.
    let time = unsafe { time.read() };
    let (days, seconds) = (time.div_euclid(86_400), time.rem_euclid(86_400));
    let (year, month, day, day_of_year) = civil(days);
    // SAFETY: zeros are a valid `tm`, with a null name of the zone.
    let mut broken: tm = unsafe { std::mem::zeroed() };
    broken.tm_sec = (seconds % 60) as c_int;
    broken.tm_min = (seconds / 60 % 60) as c_int;
    broken.tm_hour = (seconds / 3600) as c_int;
    broken.tm_mday = day as c_int;
    broken.tm_mon = month as c_int - 1;
    broken.tm_year = (year - 1900) as c_int;
    broken.tm_wday = (days + 4).rem_euclid(7) as c_int;
    broken.tm_yday = day_of_year as c_int;
    // SAFETY: the caller passes room for a tm.
    unsafe { out.write(broken) };
    out
}

/// Year, month from 1, day from 1, day of the year from 0, of a day counted from 1970 in the
/// Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64, i64) {
    // Years that begin in March put the leap day last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let in_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 {
        (month + 3, year_of_era + era * 400)
    } else {
        (month - 9, year_of_era + era * 400 + 1)
    };
    let leap = i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    let day_of_year = if month > 2 {
        in_year + 59 + leap
    } else {
        in_year - 306
    };
    (year, month, day, day_of_year)
}

unsafe extern "C" {
    /// libc's own. Without `--wrap`, in a worker that refuses to run, there is one name only.
    #[cfg_attr(kenvat_static_worker, link_name = "__real_vsnprintf")]
    #[cfg_attr(not(kenvat_static_worker), link_name = "vsnprintf")]
    fn real_vsnprintf(
        out: *mut c_char,
        size: usize,
        format: *const c_char,
        arguments: *mut c_void,
    ) -> c_int;
}

/// Every message of an error that C code throws is formatted here, and nowhere else can be told
/// that the stack ran out: the error itself is an ordinary RangeError that a program may catch.
/// While a text is read, that may be the text's fault alone, which is then refused for it.
///
/// A `va_list` is passed as a pointer on x86-64 (it is an array) and on aarch64 (it is a structure
/// of more than 16 bytes), and is only handed on.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_vsnprintf(
    out: *mut c_char,
    size: usize,
    format: *const c_char,
    arguments: *mut c_void,
) -> c_int {
    // SAFETY: the caller passes a string that ends with a zero.
    let text = unsafe { CStr::from_ptr(format) };
    let ran_out = STACK_RAN_OUT.contains(&text);
    if !parsing::on_message(ran_out) && ran_out {
        abort::stack_ran_out();
    }
    // SAFETY: the caller's own arguments, by its contract with vsnprintf.
    unsafe { real_vsnprintf(out, size, format, arguments) }
}

macro_rules! of_one_number {
    ($($name:ident => $wrap:ident),* $(,)?) => {
        $(#[unsafe(no_mangle)]
        extern "C" fn $wrap(x: f64) -> f64 {
            libm::$name(x)
        })*
    };
}

of_one_number! {
    acos => __wrap_acos, acosh => __wrap_acosh, asin => __wrap_asin, asinh => __wrap_asinh,
    atan => __wrap_atan, atanh => __wrap_atanh, cbrt => __wrap_cbrt, ceil => __wrap_ceil,
    cos => __wrap_cos, cosh => __wrap_cosh, exp => __wrap_exp, expm1 => __wrap_expm1,
    floor => __wrap_floor, log => __wrap_log, log10 => __wrap_log10, log1p => __wrap_log1p,
    log2 => __wrap_log2, rint => __wrap_rint, round => __wrap_round, sin => __wrap_sin,
    sinh => __wrap_sinh, sqrt => __wrap_sqrt, tan => __wrap_tan, tanh => __wrap_tanh,
    trunc => __wrap_trunc,
}

#[unsafe(no_mangle)]
extern "C" fn __wrap_atan2(y: f64, x: f64) -> f64 {
    libm::atan2(y, x)
}

#[unsafe(no_mangle)]
extern "C" fn __wrap_fmod(x: f64, y: f64) -> f64 {
    libm::fmod(x, y)
}

#[unsafe(no_mangle)]
extern "C" fn __wrap_hypot(x: f64, y: f64) -> f64 {
    libm::hypot(x, y)
}

#[unsafe(no_mangle)]
extern "C" fn __wrap_pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

#[unsafe(no_mangle)]
extern "C" fn __wrap_lrint(x: f64) -> c_long {
    libm::rint(x) as c_long
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_frexp(x: f64, exponent: *mut c_int) -> f64 {
    let (fraction, found) = libm::frexp(x);
    // SAFETY: the caller passes room for an int.
    unsafe { exponent.write(found) };
    fraction
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_modf(x: f64, whole: *mut f64) -> f64 {
    let (fraction, found) = libm::modf(x);
    // SAFETY: the caller passes room for a double.
    unsafe { whole.write(found) };
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1, 0));
        assert_eq!(civil(-1), (1969, 12, 31, 364));
        assert_eq!(civil(11_016), (2000, 2, 29, 59));
        assert_eq!(civil(11_017), (2000, 3, 1, 60));
        assert_eq!(civil(20_819), (2027, 1, 1, 0));
        assert_eq!(civil(19_722), (2023, 12, 31, 364));
    }
}
