/* Reading the command line of a program that fairlead-echo passes for: --name=value in the forms
 * that Go's and other flag packages take. Knows no mode; what nobody asks for is passed over, as a
 * stand-in is no judge of its original's options. */
#include "echo/echo.h"

const char *echo_flag(char *const *argv, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; argv && argv[i]; i++) {
        const char *word = argv[i];
        if (*word != '-')
            continue;
        word += word[1] == '-' ? 2 : 1;
        if (strncmp(word, name, n) != 0)
            continue;
        if (word[n] == '=')
            return word + n + 1;
        if (!word[n])
            return argv[i + 1];
    }
    return NULL;
}

uint16_t echo_port_parse(const char *text)
{
    const char *colon = text ? strrchr(text, ':') : NULL;
    uint64_t port;
    return text && str_to_u64(str_from(colon ? colon + 1 : text), &port) == 0 && port <= 65535
               ? (uint16_t)port
               : 0;
}
