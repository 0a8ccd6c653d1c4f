/* What all reading of PEM needs: no questions, and OpenSSL's errors in words. Those name functions
 * and reasons, never bytes of keys or records. */
#include <openssl/err.h>

#include "net/tls_priv.h"

const char *tls_error_text(void)
{
    static _Thread_local char text[256];
    unsigned long code = ERR_peek_last_error();
    ERR_clear_error();
    if (!code)
        return "unknown TLS error";
    ERR_error_string_n(code, text, sizeof(text));
    return text;
}

/* Without it OpenSSL would ask the terminal for the password of an encrypted key. */
int tls_no_password(char *to, int max, int for_writing, void *data)
{
    (void)for_writing;
    (void)data;
    if (max > 0)
        *to = '\0';
    return -1;
}
