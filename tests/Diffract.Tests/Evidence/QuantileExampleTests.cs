using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Diffract.Compute.Reference;
using Diffract.Cpu;
using Diffract.Evidence;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Tests.Latents;
using Diffract.Tests.Scaling;
using Microsoft.Data.Sqlite;

namespace Diffract.Tests.Evidence;

/// <summary>The example store against the published tools' own, by the queries of their reader.</summary>
public sealed class QuantileExampleTests : IDisposable
{
    const int Latents = 40;

    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_store_is_that_of_the_published_tools()
    {
        QuantileExamples examples = Golden(1000);
        JsonNode golden = JsonNode.Parse(File.ReadAllText(GoldenFiles.Path("statistics/quantile_examples.json")))!;
        Assert.Equal((int)golden["sequences"]!, examples.Sequences.Count);
        Assert.Equal(2, examples.Repeated);
        int compared = 0;
        for (int q = 0; q < 5; q++)
        {
            for (int j = 0; j < Latents; j++)
            {
                (double, int)[] wanted = [.. (golden["examples"]![$"{q}"]?[$"{j}"]?.AsArray() ?? []).Select(e => ((double)e![0]!, (int)e[1]!))];
                (double Value, int Sequence)[] got = [.. examples.Of(q, j).Select(e => ((double)e.Value, e.Sequence))];
                Assert.Equal(wanted.Order(), got.Order());
                Assert.Equal(got.OrderByDescending(e => e.Value).Select(e => e.Value), got.Select(e => e.Value));
                compared += got.Length;
            }
        }

        Assert.Equal(8273, compared);
    }

    [Fact]
    public void The_database_holds_what_the_published_one_holds()
    {
        string path = Path.Combine(_folder.Path, "examples.db");
        Assert.Equal(8273, ExampleDatabase.Write(path, Golden(1000), Latents));
        string theirs = Path.Combine(_folder.Path, "theirs.db");
        File.Copy(GoldenFiles.Path("statistics/examples.db"), theirs);
        foreach (string query in (string[])["SELECT * FROM sequences ORDER BY 1", "SELECT * FROM quantile_examples ORDER BY 1, 4"])
        {
            Assert.Equal(Rows(theirs, query), Rows(path, query));
        }

        // Positions within a sequence come in any order.
        const string Details = "SELECT feature_idx, sequence_idx, positions, activation_values FROM activation_details ORDER BY 1, 2";
        Assert.Equal(Rows(theirs, Details).Select(Sorted), Rows(path, Details).Select(Sorted));

        // The queries of their reader.
        Assert.Equal("5", Rows(path, "SELECT COUNT(DISTINCT quantile_idx) FROM quantile_examples").Single());
        const string Best = "SELECT q.activation, s.token_ids, a.positions, a.activation_values FROM quantile_examples q JOIN sequences s ON q.sequence_idx = s.sequence_idx "
            + "JOIN activation_details a ON a.feature_idx = q.feature_idx AND a.sequence_idx = q.sequence_idx WHERE q.feature_idx = 0 AND q.quantile_idx = 4 ORDER BY q.activation DESC LIMIT 20";
        Assert.Single(Rows(path, Best));
        Assert.Single(Directory.GetFiles(_folder.Path, "examples.db*"));
    }

    [Fact]
    public void A_reservoir_keeps_no_more_than_asked_and_every_kept_one_has_its_details()
    {
        QuantileExamples examples = Golden(3), again = Golden(3), all = Golden(1000);
        for (int q = 0; q < 5; q++)
        {
            for (int j = 0; j < Latents; j++)
            {
                Assert.Equal(Math.Min(3, all.Of(q, j).Count), examples.Of(q, j).Count);
                Assert.Equal(again.Of(q, j), examples.Of(q, j));
                Assert.Subset(all.Of(q, j).ToHashSet(), examples.Of(q, j).ToHashSet());
                Assert.All(examples.Of(q, j), e => Assert.Equal(e.Value, examples.Details(j, e.Sequence).Values.Max()));
            }
        }
    }

    [Fact]
    public void Loose_files_make_the_database()
    {
        using CpuBackend backend = new(CpuPaths.Best, 2);
        GoldenDictionary.Unpack("batchtopk", _folder.Path);
        string ids = Ids([700, 1300, 0, 2500, 1500]), path = Path.Combine(_folder.Path, "examples.db");
        LooseExamples.Run(backend, new SilentProgress(), Dictionary(), ids, 100, 1, path, TestContext.Current.CancellationToken);
        using ReferenceBackend reference = new();
        using LooseCodes codes = LooseCodes.Open(reference, new SilentProgress(), Dictionary(), "examples", false, TestContext.Current.CancellationToken);
        int[] starts = [0, 700, 2000, 2000, 4500, 6000];
        Dictionary<(int, int), float> maxima = [];
        codes.ForEach(0, 6000, false, (row, _, code) =>
        {
            for (int j = 0; j < 128; j++)
            {
                for (int p = code.LatentStart.Span<int>()[j]; p < code.LatentStart.Span<int>()[j + 1]; p++)
                {
                    int sequence = Array.FindLastIndex(starts, s => s <= row + code.PairToken.Span<int>()[p]);
                    maxima[(j, sequence)] = Math.Max(maxima.GetValueOrDefault((j, sequence)), codes.Input.Scaled(code, j, p));
                }
            }
        }, TestContext.Current.CancellationToken);
        string[] rows = Rows(path, "SELECT feature_idx, sequence_idx, activation FROM quantile_examples");
        Assert.Equal(maxima.Count, rows.Length);
        Assert.All(rows.Select(r => r.Split('|')), r => Assert.Equal(
            maxima[(int.Parse(r[0], null), int.Parse(r[1], null))], double.Parse(r[2], System.Globalization.CultureInfo.InvariantCulture), 1e-4));
    }

    [Fact]
    public void Ids_of_other_activations_are_refused()
    {
        using ReferenceBackend backend = new();
        GoldenDictionary.Unpack("batchtopk", _folder.Path);
        string path = Path.Combine(_folder.Path, "examples.db");
        DiffractException e = Assert.Throws<DiffractException>(
            () => LooseExamples.Run(backend, new SilentProgress(), Dictionary(), Ids([10]), 100, 1, path, TestContext.Current.CancellationToken));
        Assert.Contains("holds 10 ids", e.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(path));
    }

    static QuantileExamples Golden(int most)
    {
        GoldenActivations given = new();
        QuantileExamples examples = new(most, given.Max_L, 7);
        for (int s = 0; s < given.Sequences.Count; s++)
        {
            examples.Add(given.Sequences[s], given.Entries[s]);
        }

        return examples;
    }

    LooseReading Dictionary() => new() { Folder = _folder.Path, Activations = GoldenFiles.Path("scaling/activations.safetensors") };

    string Ids(int[] lengths)
        => _folder.File("ids.jsonl", string.Concat(lengths.Select((n, i) => $"{{\"ids\": [{string.Join(", ", Enumerable.Range(i * 10_000, n))}]}}\n")));

    static string Sorted(string row)
    {
        string[] parts = row.Split('|');
        int[] positions = MemoryMarshal.Cast<byte, int>(Convert.FromHexString(parts[2])).ToArray();
        float[] values = MemoryMarshal.Cast<byte, float>(Convert.FromHexString(parts[3])).ToArray();
        Array.Sort(positions, values);
        return $"{parts[0]} {parts[1]} {string.Join(',', positions)} {string.Join(',', values)}";
    }

    static string[] Rows(string path, string query)
    {
        using SqliteConnection connection = new(new SqliteConnectionStringBuilder { DataSource = path, Mode = SqliteOpenMode.ReadOnly, Pooling = false }.ToString());
        connection.Open();
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = query;
        using SqliteDataReader reader = command.ExecuteReader();
        List<string> rows = [];
        while (reader.Read())
        {
            rows.Add(string.Join('|', Enumerable.Range(0, reader.FieldCount).Select(i => reader.GetValue(i) switch
            {
                byte[] bytes => Convert.ToHexString(bytes),
                double number => number.ToString("R", System.Globalization.CultureInfo.InvariantCulture),
                var other => $"{other}",
            })));
        }

        return [.. rows];
    }
}
