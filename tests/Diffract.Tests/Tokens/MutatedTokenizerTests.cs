using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Runs;
using Diffract.Tests.Formats;
using Diffract.Tokens;

namespace Diffract.Tests.Tokens;

/// <summary>Damaged tokenizers load and encode, or are refused, by <see cref="MutatedFiles"/>. Their vocabularies are cut to a few hundred tokens, so that most damages hit what surrounds them.</summary>
public sealed class MutatedTokenizerTests : IDisposable
{
    const long MostBytes = 32L << 20;
    const int Merges = 60;
    const string Sample = "  The café's 1234 zebras, don't!\r\n\t<bos>naïve 🙂x中<|eot_id|> ééé\u0000";

    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("tokenizer.json, bytes")]
    [InlineData("tokenizer.json, values")]
    public void Damaged_tokenizers_give_our_own_error_in_bounded_memory(string kind)
    {
        string[] files = [.. Directory.GetDirectories(GoldenFiles.Path("tokenizers")).Order(StringComparer.Ordinal).Select(folder => Cut(Path.Combine(folder, "tokenizer.json")))];
        JsonMutations structure = new(files);
        byte[][] whole = [.. files.Select(System.Text.Encoding.UTF8.GetBytes)];
        string path = Path.Combine(_folder.Path, "tokenizer.json");
        MutatedFiles.Check(
            kind,
            MostBytes,
            m => kind.EndsWith("values", StringComparison.Ordinal) ? structure.Damage(m) : m.Damage(whole[m.Next(whole.Length)]),
            damaged =>
            {
                File.WriteAllBytes(path, damaged);
                Tokenizer tokenizer = Tokenizer.Load(_folder.Path);
                tokenizer.Decode(tokenizer.Encode(Sample).Ids);
            });
    }

    [Fact]
    public void Steps_that_double_a_text_again_and_again_are_refused()
    {
        JsonObject file = JsonNode.Parse(Cut(GoldenFiles.Path("tokenizers/qwen2/tokenizer.json")))!.AsObject();
        JsonArray steps = file["pre_tokenizer"]!["pretokenizers"]!.AsArray();
        for (int i = 0; i < 40; i++)
        {
            steps.Add(steps[1]!.DeepClone());
        }

        Tokenizer tokenizer = Tokenizer.Load(Path.GetDirectoryName(_folder.File("tokenizer.json", file.ToJsonString()))!);
        DiffractException e = Assert.Throws<DiffractException>(() => tokenizer.Encode("ééé"));
        Assert.Contains("at most 64 for one", e.Message, StringComparison.Ordinal);
    }

    /// <summary>The file with its first merges and what these need.</summary>
    static string Cut(string path)
    {
        JsonObject file = JsonNode.Parse(File.ReadAllText(path))!.AsObject();
        JsonObject model = file["model"]!.AsObject();
        JsonNode[] merges = [.. model["merges"]!.AsArray().Take(Merges).Select(m => m!.DeepClone())];
        string[][] pairs = [.. merges.Select(m => m.GetValueKind() == JsonValueKind.Array ? new[] { m[0]!.GetValue<string>(), m[1]!.GetValue<string>() } : m.GetValue<string>().Split(' '))];
        HashSet<string> kept = [.. pairs.SelectMany(p => new[] { p[0], p[1], p[0] + p[1] })];
        JsonObject vocabulary = model["vocab"]!.AsObject();
        foreach (string token in vocabulary.Select(t => t.Key).Where(t => t.Length > 1 && !t.StartsWith('<') && !kept.Contains(t)).ToArray())
        {
            vocabulary.Remove(token);
        }

        model["merges"] = new JsonArray(merges);
        return file.ToJsonString();
    }
}
