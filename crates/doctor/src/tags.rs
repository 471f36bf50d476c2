//! The `name=value; name=value` lists of DKIM (RFC 6376 §3.2), DMARC, MTA-STS and TLS-RPT.

/// A list, in its order. Names in lower case, values without the white space around them.
pub(crate) struct Tags(Vec<(String, String)>);

impl Tags {
    /// What has no `=` is named in the error.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
        let tags = parts.map(|part| match part.split_once('=') {
            Some((name, value)) => Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned())),
            None => Err(part.chars().take(80).collect()),
        });
        tags.collect::<Result<_, _>>().map(Self)
    }

    /// What can be read of it, and what cannot.
    pub(crate) fn readable(text: &str) -> (Self, Vec<String>) {
        let (good, bad): (Vec<_>, Vec<_>) = text.split(';').partition(|part| Self::parse(part).is_ok());
        let bad = bad.into_iter().map(|part| part.trim().chars().take(80).collect()).collect();
        (Self::parse(&good.join(";")).unwrap_or(Self(Vec::new())), bad)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn first(&self) -> Option<(&str, &str)> {
        self.0.first().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_by_name_and_what_is_none_is_named() {
        let tags = Tags::parse(" v=DMARC1 ; P = none;rua=mailto:a@b.test?x=y;;").unwrap();
        assert_eq!(tags.first(), Some(("v", "DMARC1")));
        assert_eq!(
            [tags.value("p"), tags.value("rua"), tags.value("sp")],
            [Some("none"), Some("mailto:a@b.test?x=y"), None]
        );
        assert_eq!(Tags::parse("v=DMARC1 p").map(|_| ()), Ok(()));
        assert_eq!(Tags::parse("v=DMARC1; reject").map(|_| ()), Err("reject".to_owned()));
    }
}
