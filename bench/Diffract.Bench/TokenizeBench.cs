using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;
using System.Text;
using System.Text.Json.Nodes;
using Diffract.Tokens;

namespace Diffract.Bench;

/// <summary>
/// Tokenizers of five styles on one core: the golden files' normalisers, split patterns and decoders with vocabularies of published size, whose merges are learnt from the organism's documents and
/// filled up with pairs at random. English documents by a tokenizer just loaded (cold) and once more (warm), text whose every word is new, and 10 MB without a space, with the memory that the process took for it above what it had. Megabytes are of UTF-8; medians of 3.
/// </summary>
static class TokenizeBench
{
    const int Runs = 3;
    const int LineLength = 10_000_000;

    static readonly (string Style, int Vocabulary)[] Styles = [("gpt2", 50_257), ("llama3", 128_000), ("qwen2", 151_643), ("llama2", 32_000), ("gemma", 256_000)];

    /// <param name="table">Where the rows go.</param>
    /// <param name="only">Styles to keep to; none: all.</param>
    public static void Run(BenchTable table, string[] only)
    {
        string root = BenchTable.Root;
        List<string> documents = Documents(root);
        string fresh = NewWords(4_000_000), line = Line(documents);
        double megabytes = documents.Sum(d => (double)System.Text.Encoding.UTF8.GetByteCount(d)) / 1e6;
        table.Note($"One thread. English: {documents.Count} documents, {megabytes:F1} MB. New words: {fresh.Length / 1e6:F1} MB in documents of 10,000 characters. Line: {LineLength / 1e6:F0} MB of letters.\n");
        table.Header("style", "vocabulary", "file MB", "load s", "English cold MB/s", "warm MB/s", "new words MB/s", "line MB/s", "line MiB", "line's tokens");
        foreach ((string style, int size) in Styles.Where(s => only.Length == 0 || only.Contains(s.Style)))
        {
            DirectoryInfo folder = Directory.CreateTempSubdirectory("diffract-bench");
            string file = Path.Combine(folder.FullName, "tokenizer.json");
            File.WriteAllText(file, Grow(Path.Combine(root, "tests", "golden", "tokenizers", style, "tokenizer.json"), documents, size));
            double load = Median(() => Time(() => Tokenizer.Load(folder.FullName)));
            List<double> cold = [], warm = [], news = [];
            for (int run = 0; run < Runs; run++)
            {
                Tokenizer tokenizer = Tokenizer.Load(folder.FullName);
                cold.Add(megabytes / Time(() => documents.ForEach(d => tokenizer.Encode(d))));
                warm.Add(megabytes / Time(() => documents.ForEach(d => tokenizer.Encode(d))));
                news.Add(fresh.Length / 1e6 / Time(() => Array.ForEach(fresh.Chunk(10_000).ToArray(), c => tokenizer.Encode(new string(c)))));
            }

            Tokenizer last = Tokenizer.Load(folder.FullName);
            int tokens = 0;
            double resident = ResidentNow();
            double one = LineLength / 1e6 / Time(() => tokens = last.Encode(line).Ids.Length);
            double memory = MostResident() - resident;
            table.Row(style, size, new FileInfo(file).Length / 1e6, load, cold.Order().ElementAt(Runs / 2), warm.Order().ElementAt(Runs / 2), news.Order().ElementAt(Runs / 2), one, memory, tokens);
            folder.Delete(recursive: true);
        }
    }

    // What the process holds in memory, in MiB, after all that can be freed was; the system's own mark of the most begins anew here.
    static double ResidentNow()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        if (File.Exists("/proc/self/clear_refs"))
        {
            File.WriteAllText("/proc/self/clear_refs", "5");
        }

        return Status("VmRSS:");
    }

    static double MostResident() => Status("VmHWM:");

    // NaN where the system does not say.
    static double Status(string name)
    {
        string? line = File.Exists("/proc/self/status") ? File.ReadLines("/proc/self/status").FirstOrDefault(l => l.StartsWith(name, StringComparison.Ordinal)) : null;
        return line is null ? double.NaN : double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture) / 1024;
    }

    static double Median(Func<double> measure) => Enumerable.Range(0, Runs).Select(_ => measure()).Order().ElementAt(Runs / 2);

    static double Time(Action action)
    {
        long from = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(from).TotalSeconds;
    }

    public static List<string> Documents(string root)
    {
        using GZipStream stream = new(File.OpenRead(Path.Combine(root, "assets", "organism", "documents.jsonl.gz")), CompressionMode.Decompress);
        using StreamReader reader = new(stream);
        List<string> documents = [];
        while (reader.ReadLine() is { } line)
        {
            documents.Add(JsonNode.Parse(line)!["text"]!.GetValue<string>());
        }

        return documents;
    }

    static string NewWords(int length)
    {
        Random random = new(5);
        StringBuilder text = new(length + 20);
        while (text.Length < length)
        {
            for (int i = random.Next(2, 5); i > 0; i--)
            {
                text.Append("bcdfghklmnprstvw"[random.Next(16)]).Append("aeiou"[random.Next(5)]).Append(random.Next(3) == 0 ? "n" : "");
            }

            text.Append(random.Next(12) == 0 ? ". " : " ");
        }

        return text.ToString(0, length);
    }

    static string Line(List<string> documents)
    {
        StringBuilder line = new(LineLength);
        for (int i = 0; line.Length < LineLength; i++)
        {
            line.Append([.. documents[i % documents.Count].Where(char.IsAsciiLetter)]);
        }

        return line.ToString(0, LineLength);
    }

    // The golden file with a larger vocabulary: the most frequent pairs of the documents' words merge first, then any two tokens.
    public static string Grow(string golden, List<string> documents, int size)
    {
        JsonNode json = JsonNode.Parse(File.ReadAllText(golden))!;
        bool bytes = json["decoder"]!["type"]!.GetValue<string>() == "ByteLevel";
        char space = bytes ? 'Ġ' : '▁';
        Dictionary<string, int> counts = [];
        foreach (string word in documents.Take(8000).SelectMany(d => d.Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries)).Where(w => w.All(char.IsAscii)))
        {
            counts[space + word] = counts.GetValueOrDefault(space + word) + 1;
        }

        JsonObject vocabulary = json["model"]!["vocab"]!.AsObject();
        HashSet<string> known = [.. json["added_tokens"]!.AsArray().Select(t => t!["content"]!.GetValue<string>())];
        List<string> tokens = [.. vocabulary.Select(t => t.Key).Where(t => t.EnumerateRunes().Count() == 1 || (t.StartsWith("<0x", StringComparison.Ordinal) && t.Length == 6) || known.Contains(t))];
        known.UnionWith(tokens);
        List<(string Left, string Right)> merges = Learn(counts, known, tokens);
        Random random = new(3);
        List<string> parts = [.. tokens.Where(t => t.All(c => char.IsAsciiLetter(c) || c == space))];
        while (tokens.Count < size)
        {
            (string left, string right) = (parts[random.Next(parts.Count)], parts[random.Next(parts.Count)].TrimStart(space));
            if (left.Length + right.Length < 24 && known.Contains(right) && known.Add(left + right))
            {
                tokens.Add(left + right);
                merges.Add((left, right));
            }
        }

        json["model"]!["vocab"] = new JsonObject(tokens.Select((t, i) => KeyValuePair.Create(t, (JsonNode?)i)));
        json["model"]!["merges"] = new JsonArray([.. merges.Select(m => (JsonNode)new JsonArray(m.Left, m.Right))]);
        return json.ToJsonString();
    }

    static List<(string Left, string Right)> Learn(Dictionary<string, int> counts, HashSet<string> known, List<string> tokens)
    {
        List<(List<string> Symbols, int Count)> words = [.. counts.Select(w => (w.Key.Select(c => c.ToString()).ToList(), w.Value))];
        List<(string Left, string Right)> merges = [];
        for (int merge = 0; merge < 1500; merge++)
        {
            Dictionary<(string, string), int> pairs = [];
            foreach ((List<string> symbols, int count) in words)
            {
                for (int i = 0; i + 1 < symbols.Count; i++)
                {
                    pairs[(symbols[i], symbols[i + 1])] = pairs.GetValueOrDefault((symbols[i], symbols[i + 1])) + count;
                }
            }

            if (pairs.Count == 0)
            {
                break;
            }

            (string left, string right) = pairs.MaxBy(p => p.Value).Key;
            merges.Add((left, right));
            if (known.Add(left + right))
            {
                tokens.Add(left + right);
            }

            foreach ((List<string> symbols, _) in words)
            {
                for (int i = 0; i + 1 < symbols.Count; i++)
                {
                    if (symbols[i] == left && symbols[i + 1] == right)
                    {
                        symbols[i] = left + right;
                        symbols.RemoveAt(i + 1);
                    }
                }
            }
        }

        return merges;
    }
}
