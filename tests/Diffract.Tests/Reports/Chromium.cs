using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Diffract.Tests.Reports;

/// <summary>A page in a real browser without a window. Where there is none the tests are skipped, unless DIFFRACT_REQUIRE_CHROMIUM=1.</summary>
static class Chromium
{
    static readonly string? Program = new[] { Environment.GetEnvironmentVariable("DIFFRACT_CHROMIUM"), "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/snap/bin/chromium" }
        .FirstOrDefault(p => !string.IsNullOrEmpty(p) && File.Exists(p));

    public static void Need()
    {
        if (Program is null && Environment.GetEnvironmentVariable("DIFFRACT_REQUIRE_CHROMIUM") == "1")
        {
            Assert.Fail("DIFFRACT_REQUIRE_CHROMIUM=1, and no Chromium was found; install it or name it in DIFFRACT_CHROMIUM");
        }

        Assert.SkipWhen(Program is null, "no Chromium on this machine; install it or name it in DIFFRACT_CHROMIUM");
    }

    /// <summary>
    /// Opens all <paramref name="pages"/> in one browser, each in a frame of its own width, runs its script (a function body that returns an object) when it is drawn, and gives what the scripts returned.
    /// To each answer come <c>problems</c>: errors, warnings and blocked loads.
    /// </summary>
    public static IReadOnlyList<JsonElement> Ask(IReadOnlyList<(string Page, string Script, int Width)> pages, bool dark)
    {
        using TemporaryFolder folder = new();
        StringBuilder outer = new("<!doctype html><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light dark\"><pre id=\"probe\"></pre>");
        string texts = JsonSerializer.Serialize(pages.Select((p, i) => new { page = Prepare(p.Page, p.Script, i), width = p.Width }));
        outer.Append("<script id=\"pages\" type=\"application/json\">").Append(texts).Append("</script>").Append("""
            <script>
              const pages = JSON.parse(document.getElementById("pages").textContent), answers = [];
              window.answered = (i, answer) => {
                answers[i] = answer;
                if (answers.filter(Boolean).length === pages.length) document.getElementById("probe").textContent = btoa(unescape(encodeURIComponent(JSON.stringify(answers))));
              };
              for (const { page, width } of pages) {
                const frame = document.createElement("iframe");
                frame.style.cssText = `display:block;border:0;height:1000px;width:${width}px;color-scheme:light dark`;
                frame.srcdoc = page;
                document.body.append(frame);
              }
              document.getElementById("pages").remove();
            </script>
            """);
        string file = folder.File("pages.html", outer.ToString());
        string dom = Start(folder.Path, ["--dump-dom", "--window-size=1400,1000", "--blink-settings=preferredColorScheme=" + (dark ? "0" : "1"), new Uri(file).AbsoluteUri]);
        Match probe = Regex.Match(dom, "<pre id=\"probe\">([^<]+)</pre>");
        Assert.True(probe.Success, "a page did not finish: " + dom[..Math.Min(300, dom.Length)]);
        return [.. JsonDocument.Parse(Encoding.UTF8.GetString(Convert.FromBase64String(probe.Groups[1].Value))).RootElement.EnumerateArray()];
    }

    /// <summary>The page with ears before its first program, and the script after its last.</summary>
    static string Prepare(string page, string script, int number)
    {
        const string Listen = """
            <script>window.problems = [];
            addEventListener("error", e => problems.push(String(e.message)));
            addEventListener("unhandledrejection", e => problems.push(String(e.reason)));
            document.addEventListener("securitypolicyviolation", e => problems.push("blocked " + e.blockedURI + " " + e.violatedDirective));
            for (const level of ["error", "warn"]) console[level] = (...a) => problems.push(level + ": " + a.join(" "));</script>
            """;
        string answer = $$"""
            <script>addEventListener("load", () => setTimeout(() => {
              let result;
              try { result = (() => { {{script}} })(); } catch (e) { result = { thrown: String(e.stack) }; }
              parent.answered({{number.ToString(CultureInfo.InvariantCulture)}}, { ...result, problems });
            }, 300));</script>
            """;
        return Insert(page, "<meta charset=\"utf-8\">", Listen) + answer;
    }

    /// <summary>Prints the page and gives the PDF.</summary>
    public static byte[] Print(string page)
    {
        using TemporaryFolder folder = new();
        string file = Path.Combine(folder.Path, "page.html"), pdf = Path.Combine(folder.Path, "page.pdf");
        File.WriteAllText(file, page);
        Start(folder.Path, ["--no-pdf-header-footer", "--print-to-pdf=" + pdf, new Uri(file).AbsoluteUri]);
        return File.ReadAllBytes(pdf);
    }

    static string Insert(string page, string after, string text)
    {
        int at = page.LastIndexOf(after, StringComparison.Ordinal);
        Assert.True(at >= 0, after + " is not in the page");
        return page[..(at + after.Length)] + text + page[(at + after.Length)..];
    }

    static string Start(string folder, IEnumerable<string> arguments)
    {
        ProcessStartInfo start = new(Program!) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in (string[])["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--virtual-time-budget=4000", "--no-first-run", "--disable-background-networking", "--user-data-dir=" + Path.Combine(folder, "profile"), .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        if (!process.WaitForExit(TimeSpan.FromSeconds(120)))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail("Chromium did not end within two minutes");
        }

        Assert.True(process.ExitCode == 0, $"Chromium ended with {process.ExitCode}: {errors.Result}");
        return output.Result;
    }
}
