using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Diffract.Evidence;
using Diffract.Reports;

namespace Diffract.Tests.Reports;

public sealed class ReportHtmlTests
{
    static JsonElement Data(string page)
    {
        Match data = Regex.Match(page, "<script type=\"application/json\" id=\"data\">(.*?)</script>", RegexOptions.Singleline);
        Assert.True(data.Success, "the page has no data");
        return JsonDocument.Parse(data.Groups[1].Value).RootElement;
    }

    [Fact]
    public void The_page_is_at_most_three_megabytes() => Assert.InRange(Encoding.UTF8.GetByteCount(ReportHtml.Write(ReportFixture.Full())), 600_000, ReportHtml.MostBytes);

    [Fact]
    public void Nothing_in_the_page_leads_to_another_place()
    {
        string page = ReportHtml.Write(ReportFixture.Full());
        int data = page.IndexOf("<script type=\"application/json\"", StringComparison.Ordinal);

        // Before the data stands all of the markup; links within the page begin with "#".
        Assert.DoesNotMatch("(?i)\\bsrc\\s*=", page[..data]);
        Assert.DoesNotMatch("(?i)\\bhref\\s*=\\s*[\"'](?!#)", page[..data]);
        Assert.DoesNotMatch("(?i)@import|url\\(", page[..data]);
        Assert.DoesNotMatch("(?i)<link\\b|<iframe\\b|<img\\b", page[..data]);

        // The programs after it know no address but the names of XML namespaces.
        string[] addresses = [.. Regex.Matches(page[data..], "https?://[^\"'\\s)<]+").Select(m => m.Value).Where(a => !a.StartsWith("http://www.w3.org/", StringComparison.Ordinal))];
        Assert.Empty(addresses);
        Assert.DoesNotMatch("\\b(fetch|XMLHttpRequest|EventSource|WebSocket|sendBeacon)\\s*\\(", page[data..]);
        Assert.Contains("default-src 'none'", page, StringComparison.Ordinal);
    }

    [Fact]
    public void Text_of_the_run_never_becomes_markup()
    {
        RunReport report = ReportFixture.Full() with { Title = ReportFixture.Hostile };
        string page = ReportHtml.Write(report);
        Assert.DoesNotContain("<script>document.title", page, StringComparison.Ordinal);
        Assert.DoesNotContain("<img src=x", page, StringComparison.Ordinal);

        // The slot inside the hostile text is left as it is, and the text arrives whole.
        Assert.Equal(ReportFixture.Hostile, Data(page).GetProperty("title").GetString());
        string? token = Data(page).GetProperty("crosscoders")[0].GetProperty("cards")[0].GetProperty("top")[0].GetProperty("tokens")[13].GetString();
        Assert.Equal(ReportFixture.Hostile, token);
        Assert.Single(Regex.Matches(page, "<style>"));
    }

    [Fact]
    public void The_answer_stands_in_the_markup_for_readers_without_a_program()
    {
        RunReport report = ReportFixture.NothingFound();
        string page = ReportHtml.Write(report);
        Assert.Contains(report.Answer.Headline, page, StringComparison.Ordinal);
        Assert.StartsWith("None found: of 12 latents that look chat-only", report.Answer.Headline, StringComparison.Ordinal);
        foreach (string paragraph in report.Answer.Paragraphs)
        {
            Assert.Contains(paragraph.Replace("'", "&#x27;", StringComparison.Ordinal), page, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Numbers_in_the_page_are_those_of_the_report()
    {
        RunReport report = ReportFixture.Full();
        JsonElement data = Data(ReportHtml.Write(report));
        for (int i = 0; i < report.Crosscoders.Count; i++)
        {
            ReportCrosscoder c = report.Crosscoders[i];
            JsonElement there = data.GetProperty("crosscoders")[i];
            Assert.Equal(c.Settings.FvePooled, there.GetProperty("settings").GetProperty("fvePooled").GetDouble(), 6);
            Assert.Equal(c.Norms!.Bins, there.GetProperty("norms").GetProperty("bins").EnumerateArray().Select(b => b.GetInt32()));
            Assert.Equal(c.Scaling!.Verdicts.ChatSpecific, there.GetProperty("scaling").GetProperty("verdicts").GetProperty("chatSpecific").GetInt32());
            JsonElement[] edits = [.. there.GetProperty("effects").GetProperty("edits").EnumerateArray()];
            Assert.Equal(c.Effects!.Edits.Count, edits.Length);
            foreach ((EditResult edit, JsonElement shown) in c.Effects.Edits.Zip(edits))
            {
                Assert.Equal(edit.Edit, shown.GetProperty("edit").GetString());
                Close(edit.Kl.Value, shown.GetProperty("kl").GetProperty("value"));
                Close(edit.Kl.Low, shown.GetProperty("kl").GetProperty("low"));
                Close(edit.Nll.High, shown.GetProperty("nll").GetProperty("high"));
                Assert.Equal(edit.Kl.N, shown.GetProperty("kl").GetProperty("n").GetInt64());
            }

            JsonElement latents = there.GetProperty("latents");
            Assert.Equal(c.Latents.Count, latents.GetProperty("total").GetInt32());
            Assert.Equal(500, latents.GetProperty("rows").GetArrayLength());
            string[] columns = [.. latents.GetProperty("columns").EnumerateArray().Select(x => x.GetString()!)];
            for (int row = 0; row < 500; row += 37)
            {
                JsonElement cells = latents.GetProperty("rows")[row];
                Assert.Equal(c.Latents[row].Latent, cells[Array.IndexOf(columns, "latent")].GetInt32());
                Close(c.Latents[row].NuError, cells[Array.IndexOf(columns, "nu_error")]);
                Close(c.Latents[row].RateAssistant, cells[Array.IndexOf(columns, "rate_assistant")]);
            }
        }
    }

    static void Close(double wanted, JsonElement got)
    {
        if (double.IsFinite(wanted))
        {
            Assert.True(Math.Abs(wanted - got.GetDouble()) <= 1e-6 * Math.Max(1e-6, Math.Abs(wanted)), $"wanted {wanted}, got {got.GetDouble()}");
        }
        else
        {
            Assert.Equal(JsonValueKind.Null, got.ValueKind);
        }
    }

    [Fact]
    public void A_report_that_would_be_too_large_leaves_examples_out_and_says_so()
    {
        RunReport one = ReportFixture.Full();
        RunReport many = one with { Crosscoders = [.. Enumerable.Range(0, 6).SelectMany(i => one.Crosscoders.Select(c => c with { Name = c.Name + i }))] };
        string page = ReportHtml.Write(many);
        Assert.InRange(Encoding.UTF8.GetByteCount(page), 1, ReportHtml.MostBytes);
        JsonElement data = Data(page);
        Assert.Equal(12, data.GetProperty("crosscoders").GetArrayLength());
        Assert.Contains(data.GetProperty("trust").GetProperty("skipped").EnumerateArray(), s => s.GetString()!.Contains("3 MB", StringComparison.Ordinal));
    }

    [Fact]
    public void Every_missing_part_is_said()
    {
        JsonElement data = Data(ReportHtml.Write(ReportFixture.OnlyTrained()));
        JsonElement c = data.GetProperty("crosscoders")[0];
        foreach (string part in new[] { "norms", "scaling", "effects", "behaviours" })
        {
            Assert.Equal(JsonValueKind.Null, c.GetProperty(part).ValueKind);
            Assert.NotEmpty(c.GetProperty("missing").GetProperty(part).GetString()!);
        }

        foreach (JsonProperty says in data.GetProperty("says").EnumerateObject())
        {
            Assert.NotEqual(0, says.Value.GetArrayLength());
            Assert.All(says.Value.EnumerateArray(), s => Assert.True(s.GetString()!.Length > 20, s.GetString()));
        }
    }
}
