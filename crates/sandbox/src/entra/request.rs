//! One request for a token by client credentials: checked in Entra's order, answered with a token or a refusal.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::assertion::{self, Seen};
use super::keys::{Claims, EXCHANGE, TokenKeys};
use super::refusal::Refusal;
use crate::clock::Clock;
use crate::tenant::{App, Tenant};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Resources that have a service principal in every tenant, beside Exchange's.
const RESOURCES: [&str; 3] = ["https://graph.microsoft.com", "https://ps.outlook.com", "https://management.azure.com"];

/// How the application proved itself; the claim `appidacr`.
enum Proof {
    Secret,
    Certificate,
}

/// The form of a token request.
pub(crate) struct TokenRequest<'a> {
    /// From the path.
    pub(crate) tenant: &'a str,
    /// From the body.
    pub(crate) form: &'a HashMap<String, String>,
    /// Names of this endpoint.
    pub(crate) hosts: &'a [String],
}

impl TokenRequest<'_> {
    fn field(&self, name: &str) -> Option<&str> {
        self.form.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.field(name).ok_or_else(|| {
            Refusal::new(900144, format!("The request body must contain the following parameter: '{name}'."))
        })
    }

    /// The body of a good answer.
    pub(crate) fn answer(
        &self,
        tenant: &Tenant,
        seen: &mut Seen,
        keys: &TokenKeys,
        clock: &Clock,
    ) -> Result<Value, Refusal> {
        let grant = self.required("grant_type")?;
        if grant != "client_credentials" {
            return Err(Refusal::new(
                70003,
                format!(
                    "The app requested an unsupported grant type '{grant}'. The sandbox knows 'client_credentials'."
                ),
            ));
        }
        check_tenant(self.tenant, tenant)?;
        let app = self.app(tenant)?;
        let proof = self.proof(app, tenant, seen, clock)?;
        let resource = self.resource(tenant)?;
        let claims = claims(tenant, app, resource, &proof, clock.now());
        let token = keys.sign(&claims).map_err(|_| Refusal::usual(50000))?;
        Ok(json!({
            "token_type": "Bearer",
            "expires_in": tenant.token_lifetime_secs,
            "ext_expires_in": tenant.token_lifetime_secs,
            "access_token": token,
        }))
    }

    fn app<'t>(&self, tenant: &'t Tenant) -> Result<&'t App, Refusal> {
        let client_id = self.required("client_id")?;
        let app = tenant.app(client_id).ok_or_else(|| {
            Refusal::new(
                700016,
                format!(
                    "Application with identifier '{client_id}' was not found in the directory '{}'. This can happen if \
                     the application has not been installed by the administrator of the tenant or consented to by any \
                     user in the tenant. You may have sent your authentication request to the wrong tenant.",
                    tenant.name
                ),
            )
        })?;
        if app.disabled {
            return Err(Refusal::new(7000112, format!("Application '{}'({}) is disabled.", app.client_id, app.name)));
        }
        Ok(app)
    }

    fn proof(&self, app: &App, tenant: &Tenant, seen: &mut Seen, clock: &Clock) -> Result<Proof, Refusal> {
        if let Some(assertion) = self.field("client_assertion") {
            let kind = self.field("client_assertion_type");
            if kind != Some(ASSERTION_TYPE) {
                return Err(Refusal::new(
                    900144,
                    format!(
                        "The request body must contain the following parameter: 'client_assertion_type' with '{ASSERTION_TYPE}'."
                    ),
                ));
            }
            assertion::verify(assertion, app, tenant, self.hosts, seen, clock)?;
            Ok(Proof::Certificate)
        } else if let Some(secret) = self.field("client_secret") {
            check_secret(secret, app, clock.now()).map(|()| Proof::Secret)
        } else {
            Err(Refusal::usual(7000218))
        }
    }

    /// The audience that the scope asks for.
    fn resource(&self, tenant: &Tenant) -> Result<&str, Refusal> {
        let scope = self.required("scope")?.trim();
        let invalid = || {
            Refusal::new(
                70011,
                format!(
                    "The provided request must include a 'scope' input parameter. The provided value for the input \
                     parameter 'scope' is not valid. The scope {scope} is not valid."
                ),
            )
        };
        if scope.split_whitespace().count() != 1 {
            return Err(invalid());
        }
        let resource = scope.strip_suffix("/.default").ok_or_else(invalid)?;
        let known = EXCHANGE.iter().chain(&RESOURCES).any(|known| *known == resource.trim_end_matches('/'));
        if known {
            return Ok(resource);
        }
        Err(Refusal::new(
            500011,
            format!(
                "The resource principal named {resource} was not found in the tenant named {}. This can happen if the \
                 application has not been installed by the administrator of the tenant or consented to by any user in \
                 the tenant. You might have sent your authentication request to the wrong tenant.",
                tenant.name
            ),
        ))
    }
}

fn check_tenant(name: &str, tenant: &Tenant) -> Result<(), Refusal> {
    if tenant.is_called(name) {
        return Ok(());
    }
    if ["common", "organizations", "consumers"].contains(&name) {
        return Err(Refusal::usual(50059));
    }
    if Uuid::parse_str(name).is_err() && !name.contains('.') {
        return Err(Refusal::new(
            900023,
            format!("Specified tenant identifier '{name}' is neither a valid DNS name, nor a valid external domain."),
        ));
    }
    Err(Refusal::new(
        90002,
        format!(
            "Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the \
             correct cloud. Check with your subscription administrator, this may happen if there are no active \
             subscriptions for the tenant."
        ),
    ))
}

fn check_secret(secret: &str, app: &App, now: Timestamp) -> Result<(), Refusal> {
    let given = app.secrets.iter().find(|known| known.value.as_str() == secret);
    match given {
        Some(known) if known.expires_at.is_some_and(|end| end <= now) => Err(Refusal::new(
            7000222,
            format!(
                "The provided client secret keys for app '{}' are expired. Visit the Azure portal to create new keys \
                 for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added \
                 security: https://aka.ms/certCreds.",
                app.client_id
            ),
        )),
        Some(_) => Ok(()),
        None => Err(Refusal::new(
            7000215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret \
                 value, not the client secret ID, for a secret added to app '{}'.",
                app.client_id
            ),
        )),
    }
}

fn claims(tenant: &Tenant, app: &App, resource: &str, proof: &Proof, now: Timestamp) -> Claims {
    let now = now.as_second();
    let exchange = EXCHANGE.contains(&resource.trim_end_matches('/'));
    Claims {
        aud: resource.to_owned(),
        iss: format!("https://sts.windows.net/{}/", tenant.id),
        iat: now,
        nbf: now,
        exp: now + i64::from(tenant.token_lifetime_secs),
        app_displayname: app.name.clone(),
        appid: app.client_id.clone(),
        appidacr: match proof {
            Proof::Secret => "1".to_owned(),
            Proof::Certificate => "2".to_owned(),
        },
        idtyp: "app".to_owned(),
        oid: app.object_id.clone(),
        roles: if exchange { app.roles.clone() } else { Vec::new() },
        sub: app.object_id.clone(),
        tid: tenant.id.clone(),
        uti: Uuid::new_v4().simple().to_string(),
        ver: "1.0".to_owned(),
    }
}
