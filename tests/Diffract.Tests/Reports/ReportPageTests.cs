using System.Text.Json;
using System.Text.RegularExpressions;
using Diffract.Reports;

namespace Diffract.Tests.Reports;

/// <summary>The page as a reader meets it, in Chromium.</summary>
public sealed class ReportPageTests
{
    /// <summary>What the page looks like: charts and how much is drawn in each, whether anything sticks out to the right, what can't be reached by keyboard.</summary>
    const string Look = """
        const charts = [...document.querySelectorAll(".chart")].map(c => ({
          label: c.getAttribute("aria-label"), marks: c.querySelectorAll("svg path, svg text").length, inside: c.querySelector("svg")?.getBoundingClientRect().right <= innerWidth + 1,
          toggle: !!c.closest("section").querySelector("details.data, .scroll"),
        }));
        const out = [...document.querySelectorAll("main *")].filter(e => !e.closest(".scroll, pre, svg") && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + "." + e.className).slice(0, 5);
        const colours = () => ({ paper: getComputedStyle(document.body).backgroundColor, ink: getComputedStyle(document.body).color, axis: document.querySelector(".chart svg text")?.getAttribute("fill") });
        return {
          charts, out, width: innerWidth, scroll: document.documentElement.scrollWidth, ready: document.documentElement.dataset.ready, title: document.title, ...colours(),
          text: document.querySelector("main").innerText,
          unreachable: [...document.querySelectorAll("summary, button, select, input, a[href], .scroll")].filter(e => e.tabIndex < 0).length,
          links: [...document.querySelectorAll("[href], [src]")].map(e => e.getAttribute("href") ?? e.getAttribute("src")).filter(h => !h.startsWith("#")),
          empty: [...document.querySelectorAll("main > section")].filter(s => s.innerText.trim().length < 40).map(s => s.id),
        };
        """;

    /// <summary>What a reader does: another theme, sorting, searching, opening a card and the losses.</summary>
    const string Use = """
        const axis = () => document.querySelector(".chart svg text").getAttribute("fill");
        const before = axis();
        document.getElementById("theme").click();
        const after = axis(), pressed = document.getElementById("theme").getAttribute("aria-pressed"), paper = getComputedStyle(document.body).backgroundColor;
        const rows = () => [...document.querySelectorAll("#latents tbody tr")];
        const all = rows().length;
        const head = document.querySelector("#latents th[data-id=delta_norm] button");
        head.click();
        const down = rows().map(r => Number(r.cells[3].textContent));
        head.click();
        const up = rows().map(r => Number(r.cells[3].textContent));
        const sorted = document.querySelector("#latents th[data-id=delta_norm]").getAttribute("aria-sort");
        const search = document.querySelector("#latents input");
        search.value = "shrinkage";
        search.dispatchEvent(new Event("input"));
        const found = rows().map(r => r.cells[2].textContent);
        const cards = [...document.querySelectorAll("#meaning details.card")];
        cards[1].open = true;
        cards[1].dispatchEvent(new Event("toggle"));
        const nll = [...document.querySelectorAll("#effects > details")][0];
        nll.open = true;
        nll.dispatchEvent(new Event("toggle"));
        return { before, after, pressed, paper, all, down: down.every((x, i) => !i || down[i - 1] >= x), up: up.every((x, i) => !i || up[i - 1] <= x), sorted, found, cards: cards.length, tokens: cards[1].querySelectorAll(".tok").length, peaks: cards[1].querySelectorAll(".tok.peak").length, nll: nll.querySelectorAll(".chart svg").length };
        """;

    // One browser for all pages of a colour scheme: starting it takes longer than any page.
    static readonly Lazy<IReadOnlyList<JsonElement>> Light = new(() => Chromium.Ask(
        [
            (ReportHtml.Write(ReportFixture.Full()), Look, 1280), (ReportHtml.Write(ReportFixture.NothingFound()), Look, 1280), (ReportHtml.Write(ReportFixture.OnlyTrained()), Look, 1280),
            (ReportHtml.Write(ReportFixture.Full()), Use, 1000),
        ],
        dark: false));

    static readonly Lazy<IReadOnlyList<JsonElement>> Dark = new(() => Chromium.Ask(
        [(ReportHtml.Write(ReportFixture.Full()), Look, 400), (ReportHtml.Write(ReportFixture.Parts()), Look, 1280)], dark: true));

    static JsonElement Check(Lazy<IReadOnlyList<JsonElement>> browser, int page, int width, int charts)
    {
        Chromium.Need();
        JsonElement seen = browser.Value[page];
        Assert.Empty(seen.GetProperty("problems").EnumerateArray().Select(p => p.GetString()));
        Assert.False(seen.TryGetProperty("thrown", out JsonElement thrown), thrown.ToString());
        Assert.Equal("true", seen.GetProperty("ready").GetString());
        Assert.Equal(width, seen.GetProperty("width").GetInt32());
        Assert.Empty(seen.GetProperty("out").EnumerateArray().Select(e => e.GetString()));
        Assert.InRange(seen.GetProperty("scroll").GetInt32(), 1, width);
        Assert.Empty(seen.GetProperty("links").EnumerateArray());
        Assert.Empty(seen.GetProperty("empty").EnumerateArray().Select(e => e.GetString()));
        Assert.Equal(0, seen.GetProperty("unreachable").GetInt32());
        JsonElement[] drawn = [.. seen.GetProperty("charts").EnumerateArray()];
        Assert.Equal(charts, drawn.Length);
        Assert.All(drawn, c =>
        {
            Assert.True(c.GetProperty("marks").GetInt32() > 8, "nearly empty: " + c.GetProperty("label").GetString());
            Assert.True(c.GetProperty("inside").GetBoolean(), "cut off: " + c.GetProperty("label").GetString());
            Assert.True(c.GetProperty("toggle").GetBoolean(), "no table: " + c.GetProperty("label").GetString());
            Assert.True(c.GetProperty("label").GetString()!.Length > 30);
        });
        return seen;
    }

    static double Brightness(JsonElement seen, string what) => Regex.Matches(seen.GetProperty(what).GetString()!, "[0-9.]+").Take(3).Average(m => double.Parse(m.Value, System.Globalization.CultureInfo.InvariantCulture));

    [Fact]
    public void The_whole_story_is_drawn_in_light()
    {
        RunReport report = ReportFixture.Full();
        JsonElement seen = Check(Light, 0, 1280, charts: 14);
        string text = seen.GetProperty("text").GetString()!;
        Assert.True(Brightness(seen, "paper") > 240);
        Assert.Equal(report.Title, seen.GetProperty("title").GetString());
        Assert.Contains(report.Answer.Headline, text, StringComparison.Ordinal);

        // Numbers of the records, as a reader sees them.
        Assert.Contains("81%", text, StringComparison.Ordinal);
        Assert.Contains("n = 11,825", text, StringComparison.Ordinal);
        Assert.Contains("4.871", text, StringComparison.Ordinal);
        Assert.Contains("2,048", text, StringComparison.Ordinal);
        Assert.Matches("missing\\s+BatchTopK\\s+0\\s+no\\s+too few", text);

        // Hostile text is text.
        Assert.Contains(ReportFixture.Hostile, Regex.Replace(text, "\\s+", " "), StringComparison.Ordinal);
    }

    [Fact]
    public void A_narrow_page_in_dark_has_one_column_and_dark_charts()
    {
        JsonElement seen = Check(Dark, 0, 400, charts: 14);
        Assert.True(Brightness(seen, "paper") < 60);
        Assert.True(Brightness(seen, "ink") > 200);
        Assert.True(Brightness(seen, "axis") > 120, seen.GetProperty("axis").GetString());
    }

    [Fact]
    public void Nothing_found_is_an_answer() => Assert.Contains("None found", Check(Light, 1, 1280, charts: 14).GetProperty("text").GetString(), StringComparison.Ordinal);

    [Fact]
    public void Missing_parts_are_said_in_their_places()
    {
        string text = Check(Dark, 1, 1280, charts: 2).GetProperty("text").GetString()!;
        Assert.Contains("L1 “mine”: the run has no held-out chats.", text, StringComparison.Ordinal);
        Assert.Contains("L1 “mine”: it was brought along, not trained here.", text, StringComparison.Ordinal);
        Assert.DoesNotContain("undefined", text, StringComparison.Ordinal);
        Assert.DoesNotContain("NaN", text, StringComparison.Ordinal);

        text = Check(Light, 2, 1280, charts: 4).GetProperty("text").GetString()!;
        Assert.Contains("L1: Latent Scaling has not run.", text, StringComparison.Ordinal);
        Assert.DoesNotContain("undefined", text, StringComparison.Ordinal);
    }

    [Fact]
    public void The_page_answers_to_its_reader()
    {
        Chromium.Need();
        RunReport report = ReportFixture.Full();
        JsonElement seen = Light.Value[3];
        Assert.False(seen.TryGetProperty("thrown", out JsonElement thrown), thrown.ToString());
        Assert.Empty(seen.GetProperty("problems").EnumerateArray().Select(p => p.GetString()));
        Assert.NotEqual(seen.GetProperty("before").GetString(), seen.GetProperty("after").GetString());
        Assert.Equal("true", seen.GetProperty("pressed").GetString());
        Assert.True(Brightness(seen, "paper") < 60);
        Assert.Equal(500, seen.GetProperty("all").GetInt32());
        Assert.True(seen.GetProperty("down").GetBoolean() && seen.GetProperty("up").GetBoolean(), "not sorted");
        Assert.Equal("ascending", seen.GetProperty("sorted").GetString());
        int shrunk = report.Crosscoders[0].Latents.Take(500).Count(l => l.Verdict == "complete shrinkage");
        Assert.Equal(Enumerable.Repeat("complete shrinkage", shrunk), seen.GetProperty("found").EnumerateArray().Select(f => f.GetString()));
        Assert.Equal(40, seen.GetProperty("cards").GetInt32());
        Assert.True(seen.GetProperty("tokens").GetInt32() > 100);
        Assert.Equal(6, seen.GetProperty("peaks").GetInt32());
        Assert.Equal(4, seen.GetProperty("nll").GetInt32());
    }

    [Fact]
    public void The_page_prints()
    {
        Chromium.Need();
        byte[] pdf = Chromium.Print(ReportHtml.Write(ReportFixture.Full()));
        Assert.Equal("%PDF"u8.ToArray(), pdf[..4]);

        // Charts are vectors: a print without them is a third of this size.
        Assert.True(pdf.Length > 300_000, $"{pdf.Length} bytes");
    }
}
