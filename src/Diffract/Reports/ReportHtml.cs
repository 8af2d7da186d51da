using System.Text;
using System.Text.Encodings.Web;
using System.Text.RegularExpressions;
using System.Text.Unicode;

namespace Diffract.Reports;

/// <summary>
/// The page: one file that opens from disk without a network. Style, program, chart library and data stand inside it; text reaches the document only as text, never as markup.
/// </summary>
public static class ReportHtml
{
    /// <summary>No page is larger: 3 MB.</summary>
    public const int MostBytes = 3_000_000;

    /// <summary>Rows of the table of latents that the page holds, for each crosscoder.</summary>
    public const int MostLatents = 500;

    /// <summary>
    /// The page for <paramref name="report"/>. Should it pass <see cref="MostBytes"/> (many crosscoders, long tokens), the lower examples go first, then rows, then examples; the page says what it left out.
    /// </summary>
    public static string Write(RunReport report)
    {
        (int Latents, int Top, bool Lower)[] sizes = [(MostLatents, ReportCard.TopExamples, true), (MostLatents, ReportCard.TopExamples, false), (200, 3, false), (50, 1, false), (20, 0, false)];
        string page = "";
        foreach ((int latents, int top, bool lower) in sizes)
        {
            page = Fill(Shrink(report, latents, top, lower), latents);
            if (Encoding.UTF8.GetByteCount(page) <= MostBytes)
            {
                return page;
            }
        }

        throw new Runs.DiffractException(
            $"the report of {report.Crosscoders.Count} crosscoders takes {Encoding.UTF8.GetByteCount(page)} bytes, wanted at most {MostBytes}; choose fewer with --name");
    }

    static RunReport Shrink(RunReport report, int latents, int top, bool lower)
    {
        if (latents == MostLatents && lower)
        {
            return report;
        }

        string note = lower || top == ReportCard.TopExamples
            ? "The page leaves out the examples from the lower quantiles, to stay below 3 MB; report.json has them."
            : $"The page leaves out all but {top} examples a card and {latents} rows a table, to stay below 3 MB; report.json and the CSV files have the rest.";
        return report with
        {
            Crosscoders = [.. report.Crosscoders.Select(c => c with { Cards = [.. c.Cards.Select(k => k with { Top = [.. k.Top.Take(top)], Lower = lower ? k.Lower : [] })] })],
            Trust = report.Trust with { Skipped = [.. report.Trust.Skipped, note] },
        };
    }

    static string Fill(RunReport report, int latents)
    {
        Dictionary<string, Func<string>> parts = new()
        {
            ["title"] = () => Escape(report.Title),
            ["headline"] = () => Escape(report.Answer.Headline),
            ["answer"] = () => string.Concat(report.Answer.Paragraphs.Select(p => $"<p>{Escape(p)}</p>")),
            ["css"] = () => Resource("page.css"),
            ["data"] = () => ReportJson.WriteForPage(report, latents),
            ["echarts"] = () => Script("lib/echarts.min.js"),
            ["tokens"] = () => Script("tokens.js"),
            ["charts"] = () => Script("charts.js"),
            ["page"] = () => Script("page.js"),
        };

        // One pass: what is put in is not looked at again.
        return Regex.Replace(Resource("page.html"), @"\{\{(\w+)\}\}", m => parts[m.Groups[1].Value]());
    }

    static string Script(string name)
    {
        string text = Resource(name);
        return text.Contains("</script", StringComparison.OrdinalIgnoreCase) ? throw new InvalidOperationException($"{name} would end its own script element") : text;
    }

    static string Escape(string text) => HtmlEncoder.Create(UnicodeRanges.All).Encode(text);

    static string Resource(string name)
    {
        using Stream stream = typeof(ReportHtml).Assembly.GetManifestResourceStream("Diffract.Reports.Page." + name)
            ?? throw new InvalidOperationException($"the page's {name} is not embedded in the program");
        using StreamReader reader = new(stream, Encoding.UTF8);
        return reader.ReadToEnd();
    }
}
