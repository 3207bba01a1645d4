//! When a certificate ends (RFC 5280, 4.1.2.5). Nothing else of X.509 is read, and rustls checks what it is given: so
//! there is no library for it here.

use crate::model::Seconds;
use crate::time;

/// An end within so many seconds is warned of: 14 days.
const SOON_SECONDS: Seconds = 14 * 24 * 60 * 60;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The last moment at which this certificate, in DER, is good. Nothing where that cannot be read, or is the year 9999,
/// which stands for never.
pub(crate) fn of(certificate: &[u8]) -> Option<Seconds> {
    let mut certificate = sequence(&mut &*certificate)?;
    let mut signed = sequence(&mut certificate)?;
    let (tag, _) = element(&mut signed)?;
    if tag == VERSION {
        let _serial_number = element(&mut signed)?;
    }
    let _algorithm = sequence(&mut signed)?;
    let _issuer = sequence(&mut signed)?;
    let mut validity = sequence(&mut signed)?;
    let _begin = element(&mut validity)?;
    let (tag, end) = element(&mut validity)?;
    let digits = core::str::from_utf8(end).ok()?.strip_suffix('Z')?;
    let digits = match tag {
        UTC_TIME if digits < "50" => format!("20{digits}"),
        UTC_TIME => format!("19{digits}"),
        GENERALIZED_TIME => digits.to_owned(),
        _ => return None,
    };
    let (date, of_day) = digits.split_at_checked(8)?;
    let (year, month, day) = (date.get(..4)?, date.get(4..6)?, date.get(6..)?);
    let (hour, minute, second) = (of_day.get(..2)?, of_day.get(2..4)?, of_day.get(4..)?);
    time::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()
}

/// Whether a certificate that ends then has ended, or will soon.
pub(crate) fn is_near(end: Seconds) -> bool {
    end.saturating_sub(time::now()) < SOON_SECONDS
}

fn sequence<'a>(der: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (tag, content) = element(der)?;
    (tag == SEQUENCE).then_some(content)
}

/// The next element: its tag and what is in it.
fn element<'a>(der: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // A file of a certificate has a million bytes at most.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *der = rest;
    Some((*tag, content))
}

#[cfg(test)]
mod tests {
    use mpgate_testbed::tls::Authority;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn the_end_is_read_however_it_is_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let authority = Authority::new(directory.path()).expect("an authority");
        for (end, told) in [
            ([2026, 12, 1], Some("2026-12-01T00:00:00Z")),
            ([1999, 2, 28], Some("1999-02-28T00:00:00Z")),
            ([2049, 12, 31], Some("2049-12-31T00:00:00Z")),
            ([2050, 1, 1], Some("2050-01-01T00:00:00Z")),
            ([9999, 12, 31], None),
        ] {
            let issued = authority.issue_until("control.test", "one", end).expect("a certificate");
            let der = CertificateDer::from_pem_file(&issued.certificate).expect("a certificate");
            assert_eq!(of(&der).map(time::to_text).as_deref(), told, "{end:?}");
            // Cut short anywhere it is read to no end, and nothing breaks.
            for length in 0..der.len() {
                assert_eq!(der.get(..length).and_then(of), None, "{length}");
            }
        }
    }
}
