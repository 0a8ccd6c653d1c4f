#include "net/password.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/buf.h"
#include "codec/base64.h"
#include "codec/sha1.h"

enum { MD5_BYTES = 16, APR1_ROUNDS = 1000, APR1_SALT_MAX = 8, APR1_TEXT = 22 };

static bool same(const void *a, size_t n, const void *b, size_t m)
{
    return n == m && CRYPTO_memcmp(a, b, n) == 0;
}

/* ---- Apache's MD5 ---- */

static bool md5(EVP_MD_CTX *c, const struct str *parts, size_t n, unsigned char ret[MD5_BYTES])
{
    bool ok = EVP_DigestInit_ex(c, EVP_md5(), NULL) == 1;
    for (size_t i = 0; i < n && ok; i++)
        ok = EVP_DigestUpdate(c, parts[i].p, parts[i].n) == 1;
    return ok && EVP_DigestFinal_ex(c, ret, NULL) == 1;
}

static bool apr1_begin(EVP_MD_CTX *c, struct str password, struct str salt,
                       unsigned char digest[MD5_BYTES])
{
    static const struct str magic = STR("$apr1$");
    const struct str first[] = {password, salt, password};
    bool ok = md5(c, first, 3, digest) && EVP_DigestInit_ex(c, EVP_md5(), NULL) == 1 &&
              EVP_DigestUpdate(c, password.p, password.n) == 1 &&
              EVP_DigestUpdate(c, magic.p, magic.n) == 1 &&
              EVP_DigestUpdate(c, salt.p, salt.n) == 1;
    for (size_t left = password.n; left && ok; left -= MIN(left, (size_t)MD5_BYTES))
        ok = EVP_DigestUpdate(c, digest, MIN(left, (size_t)MD5_BYTES)) == 1;
    for (size_t bits = password.n; bits && ok; bits >>= 1)
        ok = EVP_DigestUpdate(c, bits & 1 ? "" : password.p, 1) == 1;
    return ok && EVP_DigestFinal_ex(c, digest, NULL) == 1;
}

static bool apr1_stretch(EVP_MD_CTX *c, struct str password, struct str salt,
                         unsigned char digest[MD5_BYTES])
{
    bool ok = true;
    for (unsigned i = 0; i < APR1_ROUNDS && ok; i++) {
        const struct str before = str_of((const char *)digest, MD5_BYTES);
        struct str parts[4];
        size_t n = 0;
        parts[n++] = i & 1 ? password : before;
        if (i % 3)
            parts[n++] = salt;
        if (i % 7)
            parts[n++] = password;
        parts[n++] = i & 1 ? before : password;
        ok = md5(c, parts, n, digest);
    }
    return ok;
}

/* Bytes in an order of their own, six bits a character, the lowest first. */
static void apr1_text(const unsigned char d[MD5_BYTES], char ret[APR1_TEXT])
{
    static const char letters[] =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static const uint8_t order[6][3] = {{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}};
    size_t n = 0;
    for (unsigned group = 0; group < 6; group++) {
        uint32_t v = group == 5 ? d[11]
                                : (uint32_t)d[order[group][0]] << 16 |
                                      (uint32_t)d[order[group][1]] << 8 | d[order[group][2]];
        for (unsigned i = 0; i < (group == 5 ? 2 : 4); i++, v >>= 6)
            ret[n++] = letters[v & 63];
    }
}

/* hash: behind "$apr1$". */
static bool apr1_is_right(struct str hash, struct str password)
{
    unsigned char digest[MD5_BYTES];
    char text[APR1_TEXT];
    struct str want, salt = str_cut(hash, '$', &want);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c && salt.n <= APR1_SALT_MAX && apr1_begin(c, password, salt, digest) &&
              apr1_stretch(c, password, salt, digest);
    EVP_MD_CTX_free(c);
    if (ok)
        apr1_text(digest, text);
    return ok && same(text, sizeof(text), want.p, want.n);
}

/* ---- the others ---- */

/* base64: a digest of the password and of what follows it. */
static bool sha_is_right(struct str base64, struct str password)
{
    AUTO_DONE(buf) struct buf want = {0};
    AUTO_DONE(buf) struct buf text = {0};
    unsigned char digest[SHA1_BYTES];
    if (base64_decode(base64, &want) < 0 || want.n < SHA1_BYTES)
        return false;
    buf_add_str(&text, password);
    buf_add(&text, want.p + SHA1_BYTES, want.n - SHA1_BYTES);
    sha1(buf_str(&text), digest);
    if (text.n)
        OPENSSL_cleanse(text.p, text.n);
    return same(digest, SHA1_BYTES, want.p, SHA1_BYTES);
}

static bool crypt_is_right(struct str hash, struct str password)
{
    AUTO_CHARS char *setting = str_dup(hash), *phrase = str_dup(password);
    struct crypt_data *data = NEW(struct crypt_data); /* 32 KiB */
    /* Not crypt_r(): sanitizers put themselves in its place, and then the library is not linked. */
    const char *got =
        strlen(phrase) == password.n ? crypt_rn(phrase, setting, data, (int)sizeof(*data)) : NULL;
    bool right = got && same(got, strlen(got), hash.p, hash.n);
    OPENSSL_cleanse(data, sizeof(*data));
    OPENSSL_cleanse(phrase, password.n);
    free(data);
    return right;
}

bool password_is_right(enum htpasswd_kind kind, struct str hash, struct str password)
{
    if (password.n > PASSWORD_MAX)
        return false;
    switch (kind) {
    case HTPASSWD_SHA:
        return sha_is_right(str_sub(hash, 5, hash.n), password);
    case HTPASSWD_SSHA:
        return sha_is_right(str_sub(hash, 6, hash.n), password);
    case HTPASSWD_PLAIN:
        return same(hash.p + 7, hash.n - 7, password.p, password.n);
    case HTPASSWD_APR1:
        return apr1_is_right(str_sub(hash, 6, hash.n), password);
    case HTPASSWD_CRYPT:
        return crypt_is_right(hash, password);
    }
    return false;
}

void password_key(const unsigned char secret[PASSWORD_KEY_BYTES], struct str hash,
                  struct str password, unsigned char ret[PASSWORD_KEY_BYTES])
{
    const uint64_t n = hash.n;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(c, secret, PASSWORD_KEY_BYTES) == 1 &&
              EVP_DigestUpdate(c, &n, sizeof(n)) == 1 && EVP_DigestUpdate(c, hash.p, hash.n) == 1 &&
              EVP_DigestUpdate(c, password.p, password.n) == 1 &&
              EVP_DigestFinal_ex(c, ret, NULL) == 1;
    EVP_MD_CTX_free(c);
    if (!ok)
        abort(); /* out of memory: a key of nothing would be anybody's */
}
