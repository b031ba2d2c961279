/* The machine as the kernel reports it; see bench_machine.h. The peak is in bench_peak.c. */
#include "bench_machine.h"
#include "base_cpu.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const flags_known[] = {"avx2",     "fma",      "avx512f",     "avx512bw",
                                          "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16",
                                          "amx_tile", "amx_bf16", "avx512_fp16", "asimd"};

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at += length)
        if ((at == text || strchr(" \t:", at[-1])) && strchr(" \n", at[length]))
            return true;
    return false;
}

/* The first processor's name and flags, from /proc/cpuinfo; without it both stay empty. */
static int read_processor(json_t *machine, struct err *e)
{
    char line[8192], model[128] = "";
    json_t *flags = json_array();
    bool failed = !flags, seen = false;
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f) && !(seen && model[0])) {
        char *value = strchr(line, ':');
        if (!value)
            continue;
        if (strncmp(line, "model name", 10) == 0) {
            value[strcspn(value, "\n")] = 0;
            snprintf(model, sizeof model, "%.*s", (int)sizeof model - 1,
                     value + 1 + strspn(value + 1, " "));
        }
        if (strncmp(line, "flags", 5) != 0 && strncmp(line, "Features", 8) != 0)
            continue;
        seen = true;
        for (size_t i = 0; i < sizeof flags_known / sizeof flags_known[0]; i++)
            if (has_word(value, flags_known[i]))
                failed |= json_array_append_new(flags, json_string(flags_known[i])) != 0;
    }
    if (f)
        fclose(f);
    failed |= json_object_set_new(machine, "model", json_string(model)) != 0;
    failed |= json_object_set_new(machine, "flags", flags) != 0;
    return failed ? err_fail_memory(e, sizeof line) : 0;
}

static json_int_t configured(int name)
{
    long value = sysconf(name);
    return value > 0 ? (json_int_t)value : 0;
}

json_t *bench_machine_json(struct err *e)
{
    json_t *machine = json_pack(
        "{s:I, s:i, s:I, s:I, s:I, s:I}", "cpus", configured(_SC_NPROCESSORS_ONLN), "workers",
        cpu_worker_count(), "l1d_bytes", configured(_SC_LEVEL1_DCACHE_SIZE), "l2_bytes",
        configured(_SC_LEVEL2_CACHE_SIZE), "l3_bytes", configured(_SC_LEVEL3_CACHE_SIZE),
        "memory_bytes", configured(_SC_PHYS_PAGES) * configured(_SC_PAGESIZE));
    if (!machine) {
        err_fail_memory(e, 512);
        return NULL;
    }
    if (read_processor(machine, e) != 0) {
        json_decref(machine);
        return NULL;
    }
    return machine;
}

const char *bench_machine_line(const json_t *machine, char *out, size_t size)
{
    const json_t *flags = json_object_get(machine, "flags");
    int used = snprintf(out, size,
                        "%s, %" JSON_INTEGER_FORMAT " CPUs, L2 %" JSON_INTEGER_FORMAT
                        " KiB, L3 %" JSON_INTEGER_FORMAT " KiB:",
                        json_string_value(json_object_get(machine, "model")),
                        json_integer_value(json_object_get(machine, "cpus")),
                        json_integer_value(json_object_get(machine, "l2_bytes")) / 1024,
                        json_integer_value(json_object_get(machine, "l3_bytes")) / 1024);
    for (size_t i = 0; i < json_array_size(flags) && used >= 0 && (size_t)used < size; i++)
        used += snprintf(out + used, size - (size_t)used, " %s",
                         json_string_value(json_array_get(flags, i)));
    return out;
}

uint64_t bench_peak_rss(void)
{
    char line[256];
    uint64_t kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %" SCNu64 " kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib * 1024;
}
