//! Forecasts: by Exchange Online and straight, aligned and not.

use m365::Cloud;
use posthouse_doctor::{Outcome, OwnSelector, Sending, Signature, Way};

use crate::world::{World, ids, name};

const ZONE: &str = "
bare.test A 192.0.2.9
strict.test TXT v=spf1 include:spf.protection.outlook.com ip4:192.0.2.1 -all
_dmarc.strict.test TXT v=DMARC1; p=quarantine; aspf=s; adkim=s
mail.strict.test TXT v=spf1 include:spf.protection.outlook.com -all
relaxed.test TXT v=spf1 -all
_dmarc.relaxed.test TXT v=DMARC1; p=reject
mail.relaxed.test TXT v=spf1 include:spf.protection.outlook.com -all
key._domainkey.relaxed.test TXT v=DKIM1; k=rsa; p=MIGf
broken.test SERVFAIL
_dmarc.broken.test TXT v=DMARC1; p=reject
selector1._domainkey.broken.test SERVFAIL
late.test TXT v=spf1 include:broken.test include:spf.protection.outlook.com -all
_dmarc.late.test TXT v=DMARC1; p=none
silent.test TXT v=spf1 include:spf.protection.outlook.com -all
_dmarc.silent.test SERVFAIL
two.test TXT v=spf1 include:spf.protection.outlook.com -all
two.test TXT v=spf1 -all
_dmarc.two.test TXT v=DMARC1; p=none
unsure.test TXT v=spf1 include:broken.test -all
_dmarc.unsure.test TXT v=DMARC1; p=reject
copied.test TXT v=spf1 ip4:203.0.113.0/24 -all
_dmarc.copied.test TXT v=DMARC1; p=reject
_dmarc.dtest.onmicrosoft.com TXT v=DMARC1; p=reject
swapped.test A 192.0.2.1
_dmarc.swapped.test TXT v=DMARC1; p=reject
selector1._domainkey.swapped.test CNAME selector1-contoso-com._domainkey.contoso.onmicrosoft.com
";

fn microsoft(author: &str, reverse_path: &str) -> Sending {
    let reverse_path_domain = (!reverse_path.is_empty()).then(|| name(reverse_path));
    Sending { author_domain: name(author), reverse_path_domain, way: Way::ExchangeOnline(Cloud::Worldwide) }
}

fn direct(author: &str, address: Option<&str>, signs: &[(&str, &str)]) -> Sending {
    let signature = |(domain, selector): &(&str, &str)| Signature {
        domain: name(domain),
        selector: OwnSelector { selector: (*selector).to_owned(), value: None },
    };
    let way = Way::Direct {
        address: address.map(|address| address.parse().unwrap()),
        signs: signs.iter().map(signature).collect(),
    };
    Sending { author_domain: name(author), reverse_path_domain: Some(name(author)), way }
}

#[tokio::test]
async fn spf_dkim_and_dmarc_are_told_beforehand() {
    use Outcome::{Fail, None as Nothing, Pass, Unknown};
    let world = World::new(ZONE).await;
    for (sending, spf, dkim, dmarc) in [
        (microsoft("contoso.com", "contoso.com"), (Pass, true), (Pass, true), Pass),
        (microsoft("contoso.com", ""), (Nothing, false), (Pass, true), Pass),
        (microsoft("contoso.com", "strict.test"), (Pass, false), (Pass, true), Pass),
        (microsoft("bare.test", "bare.test"), (Nothing, true), (Pass, false), Nothing),
        (microsoft("strict.test", "strict.test"), (Pass, true), (Pass, false), Pass),
        (microsoft("strict.test", "mail.strict.test"), (Pass, false), (Pass, false), Fail),
        (microsoft("relaxed.test", "mail.relaxed.test"), (Pass, true), (Pass, false), Pass),
        (microsoft("relaxed.test", "relaxed.test"), (Fail, true), (Pass, false), Fail),
        (microsoft("broken.test", "broken.test"), (Unknown, true), (Unknown, true), Unknown),
        (microsoft("two.test", "two.test"), (Fail, true), (Pass, false), Fail),
        (microsoft("copied.test", "copied.test"), (Pass, true), (Pass, false), Pass),
        (microsoft("swapped.test", "contoso.com"), (Pass, false), (Pass, false), Fail),
        (microsoft("dtest.onmicrosoft.com", "contoso.com"), (Pass, false), (Pass, true), Pass),
        (direct("unsure.test", Some("192.0.2.1"), &[]), (Unknown, true), (Nothing, false), Unknown),
        (microsoft("late.test", "late.test"), (Unknown, true), (Pass, false), Unknown),
        (microsoft("silent.test", "silent.test"), (Pass, true), (Pass, false), Unknown),
        (direct("strict.test", Some("192.0.2.1"), &[]), (Pass, true), (Nothing, false), Pass),
        (direct("strict.test", Some("192.0.2.2"), &[]), (Fail, true), (Nothing, false), Fail),
        (direct("strict.test", None, &[]), (Unknown, true), (Nothing, false), Unknown),
        (direct("broken.test", Some("192.0.2.2"), &[]), (Unknown, true), (Nothing, false), Unknown),
        (direct("two.test", Some("203.0.113.1"), &[]), (Fail, true), (Nothing, false), Fail),
        (direct("relaxed.test", Some("192.0.2.1"), &[("relaxed.test", "key")]), (Fail, true), (Pass, true), Pass),
        (direct("relaxed.test", Some("192.0.2.1"), &[("relaxed.test", "gone")]), (Fail, true), (Fail, true), Fail),
        (
            direct("mail.relaxed.test", Some("192.0.2.1"), &[("contoso.com", "selector1"), ("relaxed.test", "key")]),
            (Fail, true),
            (Pass, true),
            Pass,
        ),
        (direct("contoso.com", Some("192.0.2.1"), &[("relaxed.test", "key")]), (Fail, true), (Pass, false), Fail),
    ] {
        let forecast = world.doctor.forecast(&sending).await;
        let seen = (
            (forecast.spf.result, forecast.spf.aligned),
            (forecast.dkim.result, forecast.dkim.aligned),
            forecast.dmarc.result,
        );
        assert_eq!(seen, (spf, dkim, dmarc), "{sending:?}\n{forecast:#?}");
        let good = dkim == (Pass, true) && (spf.0 == Pass || sending.reverse_path_domain.is_none());
        assert_eq!(forecast.causes.is_empty(), good, "{sending:?}\n{forecast:#?}");
    }
}

#[tokio::test]
async fn causes_name_what_to_do_and_the_policy_decides_how_bad_it_is() {
    let world = World::new(ZONE).await;
    let forecast = world.doctor.forecast(&microsoft("relaxed.test", "relaxed.test")).await;
    assert_eq!(ids(&forecast.causes), ["spf-missing-include", "dkim-missing", "dmarc-fails"]);
    assert_eq!(forecast.policy.as_deref(), Some("reject"));
    assert!(forecast.dmarc.words.contains("reject"));
    let forecast = world.doctor.forecast(&microsoft("bare.test", "bare.test")).await;
    assert_eq!(ids(&forecast.causes), ["spf-missing", "dkim-missing", "dmarc-missing"]);
}

#[tokio::test]
async fn a_forecast_is_kept() {
    let world = World::new(ZONE).await;
    let sending = microsoft("contoso.com", "contoso.com");
    let first = world.doctor.forecast(&sending).await;
    let asked = world.server.questions();
    assert_eq!(world.doctor.forecast(&sending).await, first);
    assert_eq!(world.server.questions(), asked);
}
