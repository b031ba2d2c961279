/* Why a pair is refused: the HTTP library only says that it is. So the same call is made here
 * first, and when it fails each half is looked at alone. */
#include "base_tls.h"

#include "base_cpu.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static gnutls_datum_t datum(const struct buf *b)
{
    return (gnutls_datum_t){b->data, (unsigned)b->length};
}

static bool holds(const struct buf *b, const char *word)
{
    return b->length && memmem(b->data, b->length, word, strlen(word));
}

static int fail_memory(struct err *e)
{
    return err_fail(e, ERR_MEMORY, "", "out of memory for a certificate");
}

static int judge_certificate(const struct buf *certificate, const char *name, struct err *e)
{
    const gnutls_datum_t text = datum(certificate);
    gnutls_x509_crt_t *list = NULL;
    unsigned count = 0;
    int code = gnutls_x509_crt_list_import2(&list, &count, &text, GNUTLS_X509_FMT_PEM, 0);
    if (code == GNUTLS_E_MEMORY_ERROR)
        return fail_memory(e);
    if (code < 0 && holds(certificate, "PRIVATE KEY-----") && !holds(certificate, "CERTIFICATE"))
        return err_fail(e, ERR_INPUT, name,
                        "holds a private key and no certificate: tls_certificate and tls_key may "
                        "have changed places");
    if (code < 0)
        return err_fail(e, ERR_INPUT, name, "holds no certificate in PEM: %s",
                        gnutls_strerror(code));
    for (unsigned i = 0; i < count; i++)
        gnutls_x509_crt_deinit(list[i]);
    gnutls_free(list);
    return 0;
}

static int judge_key(const struct buf *key, const char *name, struct err *e)
{
    const gnutls_datum_t text = datum(key);
    gnutls_x509_privkey_t parsed;
    int code = gnutls_x509_privkey_init(&parsed);
    if (code < 0)
        return fail_memory(e);
    code = gnutls_x509_privkey_import2(parsed, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_x509_privkey_deinit(parsed);
    if (code == GNUTLS_E_MEMORY_ERROR)
        return fail_memory(e);
    if (code < 0 && (holds(key, "ENCRYPTED PRIVATE KEY-----") || holds(key, ",ENCRYPTED")))
        return err_fail(e, ERR_INPUT, name,
                        "is encrypted, and nobody is here to give its password: write it without "
                        "one (openssl pkey -in FILE -out PLAIN) and guard it by its mode");
    if (code < 0 && holds(key, "CERTIFICATE-----") && !holds(key, "PRIVATE KEY"))
        return err_fail(e, ERR_INPUT, name,
                        "holds a certificate and no key: tls_certificate and tls_key may have "
                        "changed places");
    if (code < 0)
        return err_fail(e, ERR_INPUT, name, "holds no private key in PEM: %s",
                        gnutls_strerror(code));
    return 0;
}

int tls_check_pair(const struct buf *certificate, const char *certificate_name,
                   const struct buf *key, const char *key_name, struct err *e)
{
    const gnutls_datum_t first = datum(certificate), second = datum(key);
    gnutls_certificate_credentials_t credentials;
    int code = gnutls_certificate_allocate_credentials(&credentials);
    if (code < 0)
        return fail_memory(e);
    code = gnutls_certificate_set_x509_key_mem(credentials, &first, &second, GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(credentials);
    if (code >= 0)
        return 0;
    if (code == GNUTLS_E_MEMORY_ERROR)
        return fail_memory(e);
    if (judge_certificate(certificate, certificate_name, e) != 0 ||
        judge_key(key, key_name, e) != 0)
        return -1;
    if (code == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return err_fail(e, ERR_INPUT, key_name,
                        "is not the key of the first certificate in %s: the two must belong "
                        "together",
                        certificate_name);
    return err_fail(e, ERR_INPUT, certificate_name, "cannot be used with %s: %s", key_name,
                    gnutls_strerror(code));
}

/* ---- the client ---- */

/* Whether a call that ended with `code` is worth another try, after waiting for the socket. */
static bool try_again(gnutls_session_t session, int fd, int64_t end_ns, ssize_t code)
{
    if (code == GNUTLS_E_INTERRUPTED)
        return true;
    const int64_t left_ms = (end_ns - clock_ns()) / 1000000;
    const bool sending = gnutls_record_get_direction(session) == 1;
    struct pollfd p = {.fd = fd, .events = sending ? POLLOUT : POLLIN};
    return code == GNUTLS_E_AGAIN && left_ms > 0 && poll(&p, 1, (int)left_ms) == 1;
}

static bool talk(gnutls_session_t session, int fd, int64_t end_ns, const char *question,
                 char *answer, size_t size)
{
    ssize_t code;
    do
        code = gnutls_handshake(session);
    while (code < 0 && !gnutls_error_is_fatal((int)code) &&
           (code == GNUTLS_E_WARNING_ALERT_RECEIVED || try_again(session, fd, end_ns, code)));
    if (code < 0)
        return false;
    do
        code = gnutls_record_send(session, question, strlen(question));
    while (code < 0 && try_again(session, fd, end_ns, code));
    if (code < 0)
        return false;
    size_t used = 0;
    while (used + 1 < size) {
        code = gnutls_record_recv(session, answer + used, size - 1 - used);
        if (code > 0)
            used += (size_t)code;
        else if (code == 0 || !try_again(session, fd, end_ns, code))
            break;
    }
    answer[used] = '\0';
    return used > 0;
}

bool tls_ask(int fd, int64_t end_ns, const char *question, char *answer, size_t size)
{
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials; /* empty: nothing is verified */
    bool answered = false;
    if (gnutls_certificate_allocate_credentials(&credentials) < 0)
        return false;
    if (gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) == 0) {
        gnutls_transport_set_int(session, fd);
        if (gnutls_priority_set_direct(session, TLS_PRIORITIES, NULL) == 0 &&
            gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials) == 0)
            answered = talk(session, fd, end_ns, question, answer, size);
        gnutls_deinit(session);
    }
    gnutls_certificate_free_credentials(credentials);
    return answered;
}
