/* Times in formats. */
#include "proxy/format_time.h"

#include <stdio.h>
#include <time.h>

#include "base/time.h"

enum { LETTER_BYTES = 64 }; /* of what one letter stands for */

/* So many digits of the second, cut. */
static void add_fraction(struct buf *to, int64_t unix_us, unsigned digits)
{
    char text[16];
    snprintf(text, sizeof(text), "%06lld000", (long long)(unix_us % 1000000));
    buf_add(to, text, digits);
}

/* One that is not known stays as it is. */
static void add_letter(struct buf *to, char letter, const struct tm *tm)
{
    char text[LETTER_BYTES] = {'%', letter};
    size_t n = 2;
#define LETTER(c, text_of)                                                                         \
    case (c):                                                                                      \
        n = strftime(text, sizeof(text), text_of, tm);                                             \
        break;
    switch (letter) {
        LETTER('Y', "%Y")
        LETTER('m', "%m")
        LETTER('d', "%d")
        LETTER('e', "%e")
        LETTER('H', "%H")
        LETTER('I', "%I")
        LETTER('M', "%M")
        LETTER('S', "%S")
        LETTER('p', "%p")
        LETTER('j', "%j")
        LETTER('a', "%a")
        LETTER('A', "%A")
        LETTER('b', "%b")
        LETTER('B', "%B")
        LETTER('F', "%F")
        LETTER('T', "%T")
        LETTER('R', "%R")
        LETTER('z', "%z")
        LETTER('Z', "%Z")
    default:
        break;
    }
#undef LETTER
    buf_add(to, text, n);
}

void format_time(const struct format_piece *p, int64_t unix_us, struct buf *to)
{
    char text[28];
    time_t seconds = (time_t)(unix_us / 1000000);
    struct tm tm;
    if (!p->text.n) {
        time_format_rfc3339_micro(unix_us, text);
        buf_add(to, text, 23);
        buf_add_char(to, 'Z');
        return;
    }
    gmtime_r(&seconds, &tm);
    for (size_t i = 0; i < p->text.n; i++) {
        char c = p->text.p[i], next = i + 1 < p->text.n ? p->text.p[i + 1] : 0;
        if (c != '%' || !next) {
            buf_add_char(to, c);
            continue;
        }
        i++;
        if (next == '%')
            buf_add_char(to, '%');
        else if (next == 's')
            buf_addf(to, "%lld", (long long)seconds);
        else if (next == 'f')
            add_fraction(to, unix_us, 6);
        else if (next >= '1' && next <= '9' && i + 1 < p->text.n && p->text.p[i + 1] == 'f')
            add_fraction(to, unix_us, (unsigned)(p->text.p[i++] - '0'));
        else
            add_letter(to, next, &tm);
    }
}
