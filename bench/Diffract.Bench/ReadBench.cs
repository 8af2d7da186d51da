using System.Diagnostics;
using System.IO.Compression;
using System.Text.Json;
using Diffract.Text;
using Diffract.Tokens;
using Parquet;
using Parquet.Serialization;
using ZstdSharp;
using Encoding = System.Text.Encoding;

namespace Diffract.Bench;

/// <summary>
/// Reading documents and chats on one core, by format and packing, beside the tokenising of what was read, in the same run. Megabytes are of the texts in UTF-8, whatever the file takes; medians of 3, every file
/// read once before.
/// </summary>
static class ReadBench
{
    const int Runs = 3;
    const int Copies = 8;

    /// <param name="table">Where the rows go.</param>
    public static void Run(BenchTable table)
    {
        List<string> documents = TokenizeBench.Documents(BenchTable.Root);
        string[] texts = [.. Enumerable.Repeat(documents, Copies).SelectMany(d => d).Chunk(5).Select(c => string.Join("\n", c))];
        double megabytes = texts.Sum(t => (double)Encoding.UTF8.GetByteCount(t)) / 1e6;
        DirectoryInfo folder = Directory.CreateTempSubdirectory("diffract-bench");
        string tokenizers = Path.Combine(folder.FullName, "tokenizer");
        Directory.CreateDirectory(tokenizers);
        File.WriteAllText(
            Path.Combine(tokenizers, "tokenizer.json"),
            TokenizeBench.Grow(Path.Combine(BenchTable.Root, "tests", "golden", "tokenizers", "gpt2", "tokenizer.json"), documents, 50_257));
        Tokenizer tokenizer = Tokenizer.Load(tokenizers);
        double tokenising = Median(megabytes, () => Array.ForEach(texts, t => tokenizer.Encode(t)));
        table.Note($"One thread. {texts.Length} documents, {megabytes:F1} MB; chats: each a question and an answer, half a document each. Tokenising: gpt2's style, the fastest, warm. Chats are read as turns and not rendered.\n");
        table.Header("format", "file MB", "read MB/s", "tokenise MB/s", "read / tokenise");
        foreach ((string name, bool chats) in Write(folder.FullName, texts))
        {
            string file = Path.Combine(folder.FullName, name);
            double reading = Median(megabytes, () => _ = TextRows.Read(file, new TextColumns(), chats ? TextKind.Chats : TextKind.Documents).Count());
            table.Row(name, new FileInfo(file).Length / 1e6, reading, tokenising, reading / tokenising);
        }

        folder.Delete(recursive: true);
    }

    static List<(string Name, bool Chats)> Write(string folder, string[] texts)
    {
        byte[] json = Encoding.UTF8.GetBytes(string.Concat(texts.Select((t, i) => JsonSerializer.Serialize(new TextRow { id = $"d{i}", text = t }) + "\n")));
        byte[] csv = Encoding.UTF8.GetBytes("id,text\n" + string.Concat(texts.Select((t, i) => $"d{i},\"{t.Replace("\"", "\"\"", StringComparison.Ordinal)}\"\n")));
        byte[] plain = Encoding.UTF8.GetBytes(string.Join('\n', texts));
        List<(string, bool)> names = [];
        foreach ((string name, byte[] bytes) in ((string, byte[])[])[("documents.jsonl", json), ("documents.csv", csv), ("documents.txt", plain)])
        {
            File.WriteAllBytes(Path.Combine(folder, name), bytes);
            using (GZipStream zip = new(File.Create(Path.Combine(folder, name + ".gz")), CompressionLevel.Optimal))
            {
                zip.Write(bytes);
            }

            using Compressor compressor = new();
            File.WriteAllBytes(Path.Combine(folder, name + ".zst"), compressor.Wrap(bytes).ToArray());
            names.AddRange([(name, false), (name + ".gz", false), (name + ".zst", false)]);
        }

        List<TextRow> rows = [.. texts.Select((t, i) => new TextRow { id = $"d{i}", text = t })];
        List<ChatRow> chats =
        [
            .. texts.Select((t, i) => new ChatRow
            {
                conversation_id = $"c{i}",
                conversation = [new TurnRow { role = "user", content = t[..(t.Length / 2)] }, new TurnRow { role = "assistant", content = t[(t.Length / 2)..] }],
            }),
        ];
        foreach (CompressionMethod packing in (CompressionMethod[])[CompressionMethod.None, CompressionMethod.Snappy, CompressionMethod.Gzip, CompressionMethod.Zstd])
        {
            ParquetOptions options = new() { CompressionMethod = packing, RowGroupSize = 1000 };
            string text = $"documents.{packing.ToString().ToLowerInvariant()}.parquet", chat = $"chats.{packing.ToString().ToLowerInvariant()}.parquet";
            using (FileStream stream = File.Create(Path.Combine(folder, text)))
            {
                ParquetSerializer.SerializeAsync(rows, stream, options).GetAwaiter().GetResult();
            }

            using (FileStream stream = File.Create(Path.Combine(folder, chat)))
            {
                ParquetSerializer.SerializeAsync(chats, stream, options).GetAwaiter().GetResult();
            }

            names.AddRange([(text, false), (chat, true)]);
        }

        return names;
    }

    static double Median(double megabytes, Action action)
    {
        action();
        return megabytes / Enumerable.Range(0, Runs).Select(_ => Time(action)).Order().ElementAt(Runs / 2);
    }

    static double Time(Action action)
    {
        long from = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(from).TotalSeconds;
    }

    // Columns are named by the properties.
#pragma warning disable IDE1006
    sealed class TextRow
    {
        public string? id { get; set; }

        public string? text { get; set; }
    }

    sealed class ChatRow
    {
        public string? conversation_id { get; set; }

        public List<TurnRow>? conversation { get; set; }
    }

    sealed class TurnRow
    {
        public string? content { get; set; }

        public string? role { get; set; }
    }
#pragma warning restore IDE1006
}
