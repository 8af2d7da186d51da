using System.Globalization;
using System.Text.Json;
using Diffract.Reports;

namespace Diffract.Tests.Reports;

public sealed class ReportTablesTests
{
    [Fact]
    public void Every_row_of_every_table_has_as_many_cells_as_its_header()
    {
        foreach (RunReport report in new[] { ReportFixture.Full(), ReportFixture.Parts(), ReportFixture.OnlyTrained() })
        {
            foreach ((string file, string text) in ReportCsv.Write(report))
            {
                string[] lines = text.TrimEnd('\n').Split('\n');
                Assert.All(lines, l => Assert.True(Cells(l).Count == Cells(lines[0]).Count, $"{file}: {l}"));
            }
        }
    }

    [Fact]
    public void The_csv_of_latents_is_whole_and_exact()
    {
        RunReport report = ReportFixture.Full();
        string text = ReportCsv.Write(report).Single(t => t.File == "latents_l1.csv").Text;
        string[] lines = text.TrimEnd('\n').Split('\n');
        ReportCrosscoder l1 = report.Crosscoders.Single(c => c.Name == "l1");
        Assert.Equal(l1.Latents.Count + 1, lines.Length);
        int delta = Cells(lines[0]).IndexOf("delta_norm");
        for (int i = 0; i < l1.Latents.Count; i++)
        {
            Assert.Equal(l1.Latents[i].DeltaNorm, double.Parse(Cells(lines[i + 1])[delta], CultureInfo.InvariantCulture));
        }
    }

    [Fact]
    public void Unknown_numbers_are_empty_and_text_is_quoted()
    {
        RunReport report = ReportFixture.Full();
        ReportCrosscoder c = report.Crosscoders[0] with { Latents = [new ReportLatent { Latent = 7, Class = "other", DeltaNorm = double.NaN, Labels = ["a,b", "say \"x\""] }] };
        string text = ReportCsv.Write(report with { Crosscoders = [c] }).Single(t => t.File == "latents_batchtopk.csv").Text;
        string row = text.Split('\n')[1];
        Assert.StartsWith("7,other,,,", row, StringComparison.Ordinal);
        Assert.EndsWith(",\"a,b; say \"\"x\"\"\"", row, StringComparison.Ordinal);
    }

    [Fact]
    public void The_json_has_everything_and_no_number_that_is_not_one()
    {
        RunReport report = ReportFixture.Full();
        JsonElement root = JsonDocument.Parse(ReportJson.Write(report)).RootElement;
        Assert.Equal(1, root.GetProperty("format").GetInt32());
        JsonElement l1 = root.GetProperty("crosscoders")[1];
        Assert.Equal(report.Crosscoders[1].Latents.Count, l1.GetProperty("latents").GetProperty("rows").GetArrayLength());
        Assert.Equal(JsonValueKind.Null, l1.GetProperty("settings").GetProperty("threshold").ValueKind);
        Assert.Equal(20, l1.GetProperty("cards").GetArrayLength());
    }

    [Fact]
    public void The_terminal_gets_a_row_a_crosscoder_and_the_line_of_the_gap()
    {
        TerminalTable table = TerminalTable.From(ReportFixture.Full());
        Assert.Equal(2, table.Rows.Count);
        Assert.All(table.Rows, r => Assert.Equal(table.Header.Count, r.Count));
        Assert.Equal(["BatchTopK", "2,048", "k 16", "3,000"], table.Rows[0].Take(4));
        Assert.Contains(table.Lines, l => l.StartsWith("BatchTopK: 5 of 2,048 latents look chat-only", StringComparison.Ordinal));
        Assert.Contains(table.Lines, l => l.Contains("3.53 (3.44 to 3.62) nats a token", StringComparison.Ordinal));

        TerminalTable loaded = TerminalTable.From(ReportFixture.Parts());
        Assert.Equal("loaded", loaded.Rows[0][3]);
    }

    static List<string> Cells(string line)
    {
        List<string> cells = [];
        string cell = "";
        bool quoted = false;
        foreach (char c in line)
        {
            if (c == '"')
            {
                quoted = !quoted;
            }
            else if (c == ',' && !quoted)
            {
                cells.Add(cell);
                cell = "";
            }
            else
            {
                cell += c;
            }
        }

        return [.. cells, cell];
    }
}
