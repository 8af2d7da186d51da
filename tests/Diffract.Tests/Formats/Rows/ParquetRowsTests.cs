using System.Text.Json;
using Diffract.Formats.Rows;
using Diffract.Runs;
using global::Parquet;
using global::Parquet.Schema;

namespace Diffract.Tests.Formats.Rows;

public sealed class ParquetRowsTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Files of another implementation, against the rows that it was given.</summary>
    [Theory]
    [InlineData("lmsys", "conversation_id,conversation,redacted,turn")]
    [InlineData("ultrachat", "prompt,prompt_id,messages")]
    [InlineData("fineweb", "text,id,dump,url,language_score,token_count")]
    public void Files_as_they_lie_on_the_hub_give_the_rows_that_were_written(string name, string columns)
    {
        string[] wanted = columns.Split(',');
        DataRow[] rows = [.. RowFile.Read(GoldenFiles.Path($"data/{name}.parquet"), new RowSelection { Columns = _ => wanted })];

        using JsonDocument expected = JsonDocument.Parse(File.ReadAllBytes(GoldenFiles.Path($"data/{name}.json")));
        Assert.Equal(expected.RootElement.GetArrayLength(), rows.Length);
        foreach ((JsonElement row, int i) in expected.RootElement.EnumerateArray().Select((r, i) => (r, i)))
        {
            Assert.Equal(i + 1, rows[i].Number);
            foreach (string column in wanted)
            {
                Same(JsonValue.Of(row.GetProperty(column)), rows[i].Fields[column]);
            }
        }
    }

    [Fact]
    public void Structs_in_lists_in_structs_are_put_together_with_all_their_members()
    {
        DataRow[] rows = [.. RowFile.Read(GoldenFiles.Path("data/lmsys.parquet"), RowSelection.All)];
        using JsonDocument expected = JsonDocument.Parse(File.ReadAllBytes(GoldenFiles.Path("data/lmsys.json")));
        foreach ((JsonElement row, int i) in expected.RootElement.EnumerateArray().Select((r, i) => (r, i)))
        {
            object?[] scores = [.. Assert.IsType<IReadOnlyList<object?>>(rows[i].Fields["openai_moderation"], exactMatch: false).Select(m => Member(Member(m, "category_scores"), "violence"))];
            Same(JsonValue.Of(row.GetProperty("violence")), scores);
        }
    }

    [Theory]
    [InlineData("brotli")]
    [InlineData("plain")]
    public void Packings_and_plain_pages_give_the_same_texts(string name)
        => Assert.Equal(
            RowFile.Read(GoldenFiles.Path("data/fineweb.parquet"), RowSelection.All).Select(r => r.Fields["text"]),
            RowFile.Read(GoldenFiles.Path($"data/{name}.parquet"), RowSelection.All).Select(r => r.Fields["text"]));

    /// <summary>Against what another library writes, by packing, with and without dictionaries, nulls and several row groups.</summary>
    [Theory]
    [InlineData(CompressionMethod.None, true)]
    [InlineData(CompressionMethod.Snappy, true)]
    [InlineData(CompressionMethod.Gzip, false)]
    [InlineData(CompressionMethod.Zstd, true)]
    [InlineData(CompressionMethod.Brotli, false)]
    public async Task Strings_and_numbers_come_as_they_were_given_to_another_library(CompressionMethod packing, bool dictionary)
    {
        DataField<string> text = new("text");
        DataField<int?> number = new("number");
        DataField<double> score = new("score");
        DataField<bool> truth = new("truth");
        string?[] texts = [.. Enumerable.Range(0, 300).Select(i => i % 7 == 3 ? null : string.Concat(Enumerable.Repeat("über 日本 ", i % 5)) + i % 11)];
        int?[] numbers = [.. Enumerable.Range(0, 300).Select(i => i % 5 == 0 ? null : (int?)(i - 100))];
        string path = Path.Combine(_folder.Path, "a.parquet");
        await using (FileStream stream = File.Create(path))
        {
            ParquetOptions options = new() { CompressionMethod = packing };
            if (dictionary)
            {
                options.ColumnEncodingHints["text"] = EncodingHint.Dictionary;
            }

            await using ParquetWriter writer = await ParquetWriter.CreateAsync(new ParquetSchema(text, number, score, truth), stream, options);
            for (int at = 0; at < 300; at += 100)
            {
                using ParquetRowGroupWriter group = writer.CreateRowGroup();
                await group.WriteAsync(text, texts[at..(at + 100)]!);
                await group.WriteAsync<int>(number, numbers.AsMemory(at, 100));
                await group.WriteAsync<double>(score, Enumerable.Range(at, 100).Select(i => i / 3.0).ToArray());
                await group.WriteAsync<bool>(truth, Enumerable.Range(at, 100).Select(i => i % 3 == 0).ToArray());
            }
        }

        DataRow[] rows = [.. RowFile.Read(path, RowSelection.All)];

        Assert.Equal(texts, rows.Select(r => (string?)r.Fields["text"]));
        Assert.Equal(numbers.Select(n => n?.ToString(System.Globalization.CultureInfo.InvariantCulture)), rows.Select(r => r.Fields["number"]?.ToString()));
        Assert.Equal(Enumerable.Range(0, 300).Select(i => RowNumber.Of(i / 3.0)), rows.Select(r => (RowNumber)r.Fields["score"]!));
        Assert.Equal(Enumerable.Range(0, 300).Select(i => i % 3 == 0), rows.Select(r => (bool)r.Fields["truth"]!));
    }

    [Fact]
    public void A_file_that_is_cut_off_or_none_is_refused_by_name()
    {
        byte[] whole = File.ReadAllBytes(GoldenFiles.Path("data/ultrachat.parquet"));
        Refused(whole[..^20], "it does not end with PAR1");
        Refused("PAR1"u8.ToArray(), "it does not end with PAR1");
        byte[] promised = [.. whole];
        BitConverter.GetBytes(uint.MaxValue).CopyTo(promised, promised.Length - 8);
        Refused(promised, "its description has 4294967295 bytes");
    }

    [Fact]
    public void A_page_that_cannot_be_unpacked_names_the_row()
    {
        byte[] damaged = File.ReadAllBytes(GoldenFiles.Path("data/ultrachat.parquet"));
        damaged.AsSpan(60, 40).Clear();
        Refused(damaged, "at row");
    }

    void Refused(byte[] bytes, string message)
    {
        string path = Path.Combine(_folder.Path, "bad.parquet");
        File.WriteAllBytes(path, bytes);
        DiffractException e = Assert.Throws<DiffractException>(() => RowFile.Read(path, RowSelection.All).Count());
        Assert.Contains("bad.parquet cannot be read as Parquet", e.Message, StringComparison.Ordinal);
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    static object? Member(object? value, string name) => Assert.IsType<IReadOnlyDictionary<string, object?>>(value, exactMatch: false)[name];

    static void Same(object? expected, object? actual)
    {
        switch (expected)
        {
            case RowNumber number:
                Assert.Equal(double.Parse(number.Text, System.Globalization.CultureInfo.InvariantCulture), double.Parse(Assert.IsType<RowNumber>(actual).Text, System.Globalization.CultureInfo.InvariantCulture));
                break;
            case IReadOnlyList<object?> list:
                IReadOnlyList<object?> others = Assert.IsType<IReadOnlyList<object?>>(actual, exactMatch: false);
                Assert.Equal(list.Count, others.Count);
                for (int i = 0; i < list.Count; i++)
                {
                    Same(list[i], others[i]);
                }

                break;
            case IReadOnlyDictionary<string, object?> members:
                Assert.Equal(members.Count, ((IReadOnlyDictionary<string, object?>)actual!).Count);
                foreach ((string name, object? member) in members)
                {
                    Same(member, Member(actual, name));
                }

                break;
            default:
                Assert.Equal(expected, actual);
                break;
        }
    }
}
