//! Which lane a message goes to: by the domain of its reverse-path, or of its header From where the reverse-path is null.

use std::collections::HashMap;

use smtp::ReversePath;

use crate::LaneName;

/// Sender domain → lane. Made from the tenants of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    by_domain: HashMap<String, LaneName>,
    otherwise: Option<LaneName>,
}

impl Routes {
    /// `domains`: in any case, with their lanes. `otherwise`: for the null reverse-path.
    pub fn new(domains: impl IntoIterator<Item = (String, LaneName)>, otherwise: Option<LaneName>) -> Self {
        Self { by_domain: domains.into_iter().map(|(d, l)| (d.to_ascii_lowercase(), l)).collect(), otherwise }
    }

    /// The lane for mail from here; `None`: no path is configured for this sender.
    pub fn lane(&self, reverse_path: &ReversePath) -> Option<&LaneName> {
        match reverse_path {
            ReversePath::Null => self.otherwise.as_ref(),
            ReversePath::Mailbox(mailbox) => self.by_domain.get(&mailbox.domain().to_ascii_lowercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_of_the_reverse_path_chooses_the_lane() {
        let lane = LaneName("contoso/submission".into());
        let routes = Routes::new([("Contoso.com".to_owned(), lane.clone())], Some(lane.clone()));
        let to = |path: &str| routes.lane(&path.parse().unwrap()).cloned();
        assert_eq!(to("<printer@CONTOSO.com>"), Some(lane.clone()));
        assert_eq!(to("<printer@fabrikam.com>"), None);
        assert_eq!(to("<>"), Some(lane));
    }
}
