//! What the machine says by itself: whole lines without their CRLF, so that nothing is built for them.

pub(super) const SENDER_OK: &str = "250 2.1.0 Sender OK";
pub(super) const RECIPIENT_OK: &str = "250 2.1.5 Recipient OK";
pub(super) const MESSAGE_OK: &str = "250 2.0.0 OK";
pub(super) const START_CONTENT: &str = "354 Start mail input; end with <CRLF>.<CRLF>";
pub(super) const OK: &str = "250 2.0.0 OK";
pub(super) const NOT_VERIFIED: &str = "252 2.5.0 Cannot verify the user; send the message and it will be tried";
pub(super) const HELP: &str =
    "214 2.0.0 Commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT";
pub(super) const GOODBYE: &str = "221 2.0.0 Goodbye";
pub(super) const READY_FOR_TLS: &str = "220 2.0.0 Ready to start TLS";
pub(super) const AUTHENTICATED: &str = "235 2.7.0 Authentication successful";

/// `Username:` and `Password:`; some firmware waits for these very bytes.
pub(super) const USERNAME_PROMPT: &str = "334 VXNlcm5hbWU6";
pub(super) const PASSWORD_PROMPT: &str = "334 UGFzc3dvcmQ6";
/// With the blank, without which some clients do not take it for a reply.
pub(super) const EMPTY_PROMPT: &str = "334 ";

pub(super) const UNKNOWN_COMMAND: &str = "500 5.5.1 Command not recognised";
pub(super) const LINE_TOO_LONG: &str = "500 5.5.2 Line too long";
pub(super) const CONTROLS: &str =
    "500 5.5.2 A bare CR or LF or another control character in a command; lines end with CRLF";
pub(super) const NOT_UTF8: &str = "500 5.5.2 A command that is neither ASCII nor UTF-8";
pub(super) const RESPONSE_TOO_LONG: &str = "500 5.5.6 Authentication response too long";

pub(super) const NO_NAME: &str = "501 5.5.4 EHLO and HELO need the name of your host";
pub(super) const NO_ARGUMENT_EXPECTED: &str = "501 5.5.4 This command has no argument";
pub(super) const MAIL_SYNTAX: &str = "501 5.5.4 Syntax: MAIL FROM:<address>";
pub(super) const RCPT_SYNTAX: &str = "501 5.5.4 Syntax: RCPT TO:<address>";
pub(super) const VRFY_SYNTAX: &str = "501 5.5.4 Syntax: VRFY address";
pub(super) const BDAT_SYNTAX: &str =
    "501 5.5.4 Syntax: BDAT size [LAST]; closing, because what follows cannot be told from commands";
pub(super) const AUTH_SYNTAX: &str = "501 5.5.4 Syntax: AUTH mechanism [initial-response]";
pub(super) const BAD_BASE64: &str = "501 5.5.2 The response is not base64";
pub(super) const BAD_RESPONSE: &str = "501 5.5.2 The response is not what the mechanism asks for";
pub(super) const CANCELLED: &str = "501 5.7.0 Authentication cancelled";

pub(super) const EXPN_UNAVAILABLE: &str = "502 5.5.1 EXPN is not available";
pub(super) const STARTTLS_UNAVAILABLE: &str = "502 5.5.1 STARTTLS is not available";
pub(super) const AUTH_UNAVAILABLE: &str = "502 5.5.1 AUTH is not available";
pub(super) const CHUNKING_UNAVAILABLE: &str = "502 5.5.1 BDAT is not available";

pub(super) const HELLO_FIRST: &str = "503 5.5.1 Send EHLO or HELO first";
pub(super) const MAIL_TWICE: &str = "503 5.5.1 A message is under way already; send RSET to drop it";
pub(super) const MAIL_FIRST: &str = "503 5.5.1 Send MAIL first";
pub(super) const IN_CHUNKS: &str = "503 5.5.1 A message is being sent with BDAT; send BDAT LAST or RSET";
pub(super) const BINARY_NEEDS_BDAT: &str = "503 5.5.1 BODY=BINARYMIME can only be sent with BDAT";
pub(super) const NOT_IN_TRANSACTION: &str = "503 5.5.1 Not while a message is under way";
pub(super) const TLS_ALREADY: &str = "503 5.5.1 TLS is active already";
pub(super) const AUTHENTICATED_ALREADY: &str = "503 5.5.1 Authenticated already";
pub(super) const CHUNK_WITHOUT_MAIL: &str = "503 5.5.1 Send MAIL and RCPT first; the chunk was thrown away";
pub(super) const CHUNK_AFTER_REFUSAL: &str = "503 5.5.1 The message was refused; send RSET. The chunk was thrown away";

pub(super) const UNKNOWN_MECHANISM: &str = "504 5.5.4 Authentication mechanism not supported";
pub(super) const TLS_FIRST: &str = "530 5.7.0 Send STARTTLS first";
pub(super) const AUTH_NEEDS_TLS: &str = "538 5.7.11 Encryption is needed for authentication; send STARTTLS first";
pub(super) const NEEDS_SMTPUTF8: &str = "553 5.6.7 An address that is not ASCII needs the parameter SMTPUTF8 of MAIL";
pub(super) const TOO_LARGE: &str = "552 5.3.4 The message is larger than this server takes";
pub(super) const NO_RECIPIENTS: &str = "554 5.5.1 No valid recipients";
pub(super) const TOO_MANY_RECIPIENTS: &str = "452 4.5.3 Too many recipients; send the message to the others again";

pub(super) const TOO_MANY_MESSAGES: &str = "421 4.7.0 Too many messages in one session; connect again";
pub(super) const TOO_MANY_ERRORS: &str = "421 4.7.0 Too many errors; closing";
pub(super) const TOO_MANY_IDLE_COMMANDS: &str = "421 4.7.0 Too many commands without a message; closing";
pub(super) const TOO_MANY_AUTH_FAILURES: &str = "421 4.7.0 Too many failed authentications; closing";
