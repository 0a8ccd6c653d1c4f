#include "codec/jwt.h"

#include "codec/base64.h"

/* A part as an object. NULL: it is none; *ret_base64: not even base64. */
static json_t *read_part(struct str text, bool *ret_base64)
{
    AUTO_DONE(buf) struct buf clear = {.cap = JWT_BYTES_MAX};
    json_t *j = NULL;
    *ret_base64 = base64url_decode(text, &clear) == 0 && !clear.failed;
    if (!*ret_base64 || json_parse(buf_str(&clear), JWT_BYTES_MAX, NULL, &j, NULL) < 0)
        return NULL;
    if (json_is_object(j))
        return j;
    json_decref(j);
    return NULL;
}

static const char *read_parts(struct str header, struct str payload, struct str signature,
                              struct jwt *ret)
{
    bool base64;
    ret->header = read_part(header, &base64);
    if (!ret->header)
        return base64 ? "Jwt header is an invalid JSON"
                      : "Jwt header is an invalid Base64url encoded";
    ret->alg = json_key_str(ret->header, "alg");
    ret->kid = json_key_str(ret->header, "kid");
    if (!ret->alg)
        return "Jwt header [alg] field is missing or is not a string";
    if (json_object_get(ret->header, "kid") && !ret->kid)
        return "Jwt header [kid] field is not a string";
    if (json_object_get(ret->header, "crit")) /* what must be understood, and is not */
        return "Jwt header [crit] is not supported";
    ret->payload = read_part(payload, &base64);
    if (!ret->payload)
        return base64 ? "Jwt payload is an invalid JSON"
                      : "Jwt payload is an invalid Base64url encoded";
    ret->signature.cap = JWT_BYTES_MAX;
    if (base64url_decode(signature, &ret->signature) < 0 || ret->signature.failed)
        return "Jwt signature is an invalid Base64url encoded";
    return NULL;
}

const char *jwt_parse(struct str token, struct jwt *ret)
{
    static const char form[] =
        "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections";
    struct str rest, signature, header = str_cut(token, '.', &rest),
                                payload = str_cut(rest, '.', &signature);
    *ret = (struct jwt){.payload_text = payload};
    if (token.n > JWT_BYTES_MAX || !rest.p || !signature.p || !signature.n || !header.n ||
        !payload.n || memchr(signature.p, '.', signature.n))
        return form;
    ret->signed_text = str_of(token.p, header.n + 1 + payload.n);
    const char *wrong = read_parts(header, payload, signature, ret);
    if (wrong)
        jwt_done(ret);
    return wrong;
}

void jwt_done(struct jwt *t)
{
    json_decref(t->header);
    json_decref(t->payload);
    buf_done(&t->signature);
    *t = (struct jwt){.header = NULL};
}
