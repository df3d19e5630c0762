//! Why a server refused an object, from what it says: in an answer to us, or in an event of a controller.

use super::super::codes::CauseCode;
use super::Finding;

/// What a refusal is recognised by: all of these texts.
struct Mark {
    code: CauseCode,
    texts: &'static [&'static str],
}

/// The order matters: a webhook may fail because of a certificate, and most refusals are "forbidden" by their form.
const MARKS: &[Mark] = &[
    Mark {
        code: CauseCode::CertificateWrong,
        texts: &["x509: "],
    },
    Mark {
        code: CauseCode::CertificateWrong,
        texts: &["tls: failed to verify certificate"],
    },
    Mark {
        code: CauseCode::WebhookUnreachable,
        texts: &["failed calling webhook"],
    },
    Mark {
        code: CauseCode::WebhookDenied,
        texts: &["admission webhook", "denied the request"],
    },
    Mark {
        code: CauseCode::WebhookDenied,
        texts: &["ValidatingAdmissionPolicy", "denied request"],
    },
    Mark {
        code: CauseCode::QuotaExceeded,
        texts: &["exceeded quota: "],
    },
    Mark {
        code: CauseCode::QuotaExceeded,
        texts: &["failed quota: "],
    },
    Mark {
        code: CauseCode::LimitRangeViolated,
        texts: &["usage per ", "maximum "],
    },
    Mark {
        code: CauseCode::LimitRangeViolated,
        texts: &["usage per ", "minimum "],
    },
    Mark {
        code: CauseCode::LimitRangeViolated,
        texts: &["max limit to request ratio per "],
    },
    Mark {
        code: CauseCode::PodSecurityViolated,
        texts: &["violates PodSecurity"],
    },
    Mark {
        code: CauseCode::ServiceAccountMissing,
        texts: &["error looking up service account", "not found"],
    },
    Mark {
        code: CauseCode::KindUnknown,
        texts: &["no matches for kind "],
    },
    Mark {
        code: CauseCode::Forbidden,
        texts: &["is forbidden: User "],
    },
    Mark {
        code: CauseCode::Forbidden,
        texts: &["forbidden: User ", " cannot "],
    },
];

/// Recognises why the server refused something, by its text.
pub(crate) fn judge_refusal(message: &str) -> Option<(CauseCode, Finding)> {
    let mark = MARKS
        .iter()
        .find(|mark| mark.texts.iter().all(|text| message.contains(text)))?;
    let mut finding = Finding::new(message);
    if let Some(remedy) = remedy(mark.code, message) {
        finding = finding.with_remedy(remedy);
    }
    Some((mark.code, finding))
}

/// A remedy that names what the text names.
fn remedy(code: CauseCode, message: &str) -> Option<String> {
    match code {
        CauseCode::WebhookUnreachable => {
            let webhook = between(message, "failed calling webhook \"", "\"")?;
            Some(format!(
                "repair the Service of webhook `{webhook}`, or remove its configuration if its program is gone"
            ))
        }
        CauseCode::QuotaExceeded => {
            let quota = between(message, "exceeded quota: ", ",")
                .or_else(|| between(message, "failed quota: ", ":"))?;
            Some(format!(
                "lower what is asked, remove something, or raise ResourceQuota `{quota}`"
            ))
        }
        CauseCode::ServiceAccountMissing => {
            let account = between(message, "serviceaccount \"", "\"")?;
            Some(format!(
                "create ServiceAccount `{account}`, or correct its name in the pod"
            ))
        }
        CauseCode::Forbidden => {
            let user = between(message, "User \"", "\"")?;
            let verb = between(message, "cannot ", " resource")?;
            let resource = between(message, "resource \"", "\"")?;
            Some(format!(
                "bind a role that may {verb} {resource} to `{user}`"
            ))
        }
        _ => None,
    }
}

/// What stands between two texts.
pub(super) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}
