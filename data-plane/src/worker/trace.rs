//! The trace that a request belongs to (W3C Trace Context). One that the client names is taken over;
//! otherwise the request gets an identifier of its own, for log lines. The header goes upstream as it
//! came: a gateway that records no span invents none.

use std::cell::Cell;
use std::fmt::Write as _;

use gantry_plugin_host::Trace;
use http::HeaderMap;

/// Bytes of a `traceparent` of version 00.
const TRACEPARENT: usize = 55;

/// The trace of a request.
pub fn of(headers: &HeaderMap) -> Trace {
    let mut values = headers.get_all("traceparent").iter();
    let sole = values.next().filter(|_| values.next().is_none());
    let named = sole
        .and_then(|value| value.to_str().ok())
        .filter(|value| is_valid(value));
    named.map_or_else(fresh, |traceparent| Trace {
        trace_id: traceparent[3..35].to_owned(),
        traceparent: traceparent.to_owned(),
    })
}

fn fresh() -> Trace {
    let mut trace_id = String::with_capacity(32);
    let mut traceparent = String::with_capacity(TRACEPARENT);
    // Writing to a string cannot fail.
    let _ = write!(trace_id, "{:016x}{:016x}", random(), random());
    let _ = write!(traceparent, "00-{trace_id}-{:016x}-00", random());
    Trace {
        trace_id,
        traceparent,
    }
}

fn is_valid(traceparent: &str) -> bool {
    let bytes = traceparent.as_bytes();
    let hexadecimal = |from: usize, to: usize| {
        bytes[from..to]
            .iter()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let not_zero = |from: usize, to: usize| bytes[from..to].iter().any(|b| *b != b'0');
    let version_and_length = match bytes {
        [b'0', b'0', ..] => bytes.len() == TRACEPARENT,
        [b'f', b'f', ..] => false,
        // Later versions may add to the end.
        _ => bytes.len() == TRACEPARENT || bytes.get(TRACEPARENT) == Some(&b'-'),
    };
    traceparent.is_ascii()
        && bytes.len() >= TRACEPARENT
        && version_and_length
        && [2, 35, 52].iter().all(|at| bytes[*at] == b'-')
        && [(0, 2), (3, 35), (36, 52), (53, 55)]
            .iter()
            .all(|(from, to)| hexadecimal(*from, *to))
        && not_zero(3, 35)
        && not_zero(36, 52)
}

/// Numbers that do not repeat in practice, without a system call each; never 0. Not secret.
fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(getrandom::u64().unwrap_or(u64::from(std::process::id())));
    }
    // SplitMix64 (Steele, Lea and Flood, 2014).
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ mixed >> 31).max(1)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NAMED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn trace(values: &[&str]) -> Trace {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("traceparent", HeaderValue::from_str(value).unwrap());
        }
        of(&headers)
    }

    #[test]
    fn named_trace_is_taken_over() {
        let later = format!("cc{}-more", &NAMED[2..]);
        for named in [NAMED, &later] {
            let trace = trace(&[named]);
            assert_eq!(trace.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(trace.traceparent, named);
        }
    }

    #[test]
    fn malformed_or_doubled_header_starts_a_new_trace() {
        let upper = NAMED.to_uppercase();
        let zero = NAMED.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let long = format!("{NAMED}-x");
        let invalid = format!("ff{}", &NAMED[2..]);
        let cases: [&[&str]; 7] = [
            &[],
            &["", "x"],
            &[NAMED, NAMED],
            &[&upper],
            &[&zero],
            &[&long],
            &[&invalid],
        ];
        for values in cases {
            let trace = trace(values);
            assert!(is_valid(&trace.traceparent), "{values:?}");
            assert!(!values.contains(&trace.traceparent.as_str()), "{values:?}");
            assert_eq!(trace.traceparent[3..35], trace.trace_id);
        }
    }

    #[test]
    fn new_traces_differ() {
        assert_ne!(trace(&[]).trace_id, trace(&[]).trace_id);
    }
}
