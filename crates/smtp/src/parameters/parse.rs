//! From the text after the path to values. Keywords in any case, each at most once.

use super::xtext::is_xtext;
use super::{BodyType, MailParameters, Notify, ParameterError, RcptParameters, Ret};

/// Why the text after a path is no list of parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    /// A keyword of no extension that we speak.
    #[error("parameter not recognised: {0}")]
    Unknown(String),
    /// The same keyword again.
    #[error("parameter given twice: {0}")]
    Repeated(String),
    /// A keyword with a value it cannot have, or without one.
    #[error(transparent)]
    Value(#[from] ParameterError),
}

/// One `keyword=value` or `keyword`.
struct Parameter<'a> {
    whole: &'a str,
    keyword: &'a str,
    value: Option<&'a str>,
}

impl<'a> Parameter<'a> {
    fn each(text: &'a str) -> impl Iterator<Item = Self> {
        text.split([' ', '\t']).filter(|word| !word.is_empty()).map(|whole| match whole.split_once('=') {
            Some((keyword, value)) => Self { whole, keyword, value: Some(value) },
            None => Self { whole, keyword: whole, value: None },
        })
    }
    fn is(&self, keyword: &str) -> bool {
        self.keyword.eq_ignore_ascii_case(keyword)
    }
    fn wrong(&self) -> ParametersError {
        ParametersError::Value(ParameterError(self.whole.to_owned()))
    }
    /// Puts the value, read by `read`, where it belongs.
    fn store<T>(&self, place: &mut Option<T>, read: impl Fn(&str) -> Option<T>) -> Result<(), ParametersError> {
        let value = self.value.and_then(read).ok_or_else(|| self.wrong())?;
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(ParametersError::Repeated(self.keyword.to_owned())),
        }
    }
}

impl MailParameters {
    /// The text after the path of MAIL; blanks at either end do not matter.
    pub fn parse(text: &str) -> Result<Self, ParametersError> {
        let mut parameters = Self::default();
        let (mut body, mut smtputf8) = (None, None);
        for parameter in Parameter::each(text) {
            if parameter.is("SIZE") {
                parameter.store(&mut parameters.size, size)?;
            } else if parameter.is("BODY") {
                parameter.store(&mut body, body_type)?;
            } else if parameter.is("SMTPUTF8") {
                let flag = Parameter { value: parameter.value.is_none().then_some(""), ..parameter };
                flag.store(&mut smtputf8, |_| Some(()))?;
            } else if parameter.is("RET") {
                parameter.store(&mut parameters.ret, ret)?;
            } else if parameter.is("ENVID") {
                parameter.store(&mut parameters.envid, |value| value.parse().ok())?;
            } else if parameter.is("AUTH") {
                parameter.store(&mut parameters.auth, |value| is_xtext(value).then(|| value.into()))?;
            } else {
                return Err(ParametersError::Unknown(parameter.whole.to_owned()));
            }
        }
        Ok(Self { body: body.unwrap_or_default(), smtputf8: smtputf8.is_some(), ..parameters })
    }
}

impl RcptParameters {
    /// The text after the path of RCPT; blanks at either end do not matter.
    pub fn parse(text: &str) -> Result<Self, ParametersError> {
        let mut parameters = Self::default();
        for parameter in Parameter::each(text) {
            if parameter.is("NOTIFY") {
                parameter.store(&mut parameters.notify, |value| value.parse().ok())?;
            } else if parameter.is("ORCPT") {
                parameter.store(&mut parameters.orcpt, |value| value.parse().ok())?;
            } else {
                return Err(ParametersError::Unknown(parameter.whole.to_owned()));
            }
        }
        Ok(parameters)
    }
}

/// Up to twenty digits (RFC 1870 §3); what 64 bits cannot hold is too large for anybody.
fn size(value: &str) -> Option<u64> {
    let digits = (1..=20).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

fn body_type(value: &str) -> Option<BodyType> {
    [BodyType::SevenBit, BodyType::EightBitMime, BodyType::BinaryMime]
        .into_iter()
        .find(|body| body.keyword().eq_ignore_ascii_case(value))
}

fn ret(value: &str) -> Option<Ret> {
    [Ret::Full, Ret::Hdrs].into_iter().find(|ret| ret.keyword().eq_ignore_ascii_case(value))
}

impl std::str::FromStr for Notify {
    type Err = ParameterError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut notify = Self { success: false, failure: false, delay: false };
        if text.eq_ignore_ascii_case("NEVER") {
            return Ok(notify);
        }
        for word in text.split(',') {
            match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => notify.success = true,
                "FAILURE" => notify.failure = true,
                "DELAY" => notify.delay = true,
                _ => return Err(ParameterError(text.to_owned())),
            }
        }
        Ok(notify)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_parameters_are_read_in_any_case_and_written_in_ours() {
        let table = [
            ("", ""),
            (" size=1000  body=8bitmime ", " SIZE=1000 BODY=8BITMIME"),
            (" BODY=7BIT", ""),
            (" body=binarymime SMTPUTF8", " BODY=BINARYMIME SMTPUTF8"),
            (" RET=hdrs ENVID=q+2Ba AUTH=<>", " RET=HDRS ENVID=q+2Ba AUTH=<>"),
            (" SIZE=99999999999999999999", " SIZE=18446744073709551615"),
        ];
        for (text, written) in table {
            assert_eq!(MailParameters::parse(text).unwrap().to_string(), written, "{text}");
        }
    }

    #[test]
    fn rcpt_parameters_are_read_in_any_case_and_written_in_ours() {
        let table = [
            ("", ""),
            (" notify=never", " NOTIFY=NEVER"),
            (" NOTIFY=delay,Success orcpt=rfc822;A+2Bb@c", " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;A+2Bb@c"),
        ];
        for (text, written) in table {
            assert_eq!(RcptParameters::parse(text).unwrap().to_string(), written, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_parameters_is_told() {
        let wrong =
            ["SIZE", "SIZE=", "SIZE=-1", "SIZE=1x", "SIZE=111111111111111111111", "BODY=9BIT", "SMTPUTF8=", "RET=x"];
        for text in wrong.into_iter().chain(["ENVID=", "ENVID=a=b", "AUTH=", "BODY"]) {
            assert!(matches!(MailParameters::parse(text), Err(ParametersError::Value(_))), "{text}");
        }
        for text in ["NOTIFY=", "NOTIFY=NEVER,DELAY", "NOTIFY=DELAY,", "ORCPT=a@b", "ORCPT"] {
            assert!(matches!(RcptParameters::parse(text), Err(ParametersError::Value(_))), "{text}");
        }
        assert_eq!(MailParameters::parse("X=1"), Err(ParametersError::Unknown("X=1".into())));
        assert_eq!(RcptParameters::parse("SIZE=1"), Err(ParametersError::Unknown("SIZE=1".into())));
        assert_eq!(MailParameters::parse("size=1 SIZE=1"), Err(ParametersError::Repeated("SIZE".into())));
        assert_eq!(MailParameters::parse("SMTPUTF8 SMTPUTF8"), Err(ParametersError::Repeated("SMTPUTF8".into())));
    }
}
