using System.Text.Json.Nodes;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Tests.Tokens;

public sealed class TokenizerTests
{
    static readonly string Folder = GoldenFiles.Path("tokenizers/gemma");
    static readonly Tokenizer Gemma = Tokenizer.Load(Folder);

    [Fact]
    public void Merges_as_text_give_the_same_ids_as_pairs()
    {
        using TemporaryFolder folder = new();
        JsonNode json = Json();
        JsonArray merges = json["model"]!["merges"]!.AsArray();
        json["model"]!["merges"] = new JsonArray([.. merges.Select(m => (JsonNode)$"{m![0]} {m[1]}")]);
        Tokenizer other = Load(folder, json);
        const string Text = "The quick brown fox jumps over the lazy dog.\n\n\n 🙂 heronry zzyzx";
        Assert.Equal(Gemma.Encode(Text).Ids, other.Encode(Text).Ids);
    }

    [Fact]
    public void Thousands_of_added_tokens_are_found_leftmost_and_longest()
    {
        using TemporaryFolder folder = new();
        JsonNode json = Json();
        JsonArray added = json["added_tokens"]!.AsArray();
        for (int i = 0; i < 5000; i++)
        {
            added.Add((JsonNode)Added(1200 + i, $"<unused{i}>"));
        }

        added.Add((JsonNode)Added(6200, "qab"));
        added.Add((JsonNode)Added(6201, "qabcd"));
        added.Add((JsonNode)Added(6202, "abcde"));
        Tokenizer tokenizer = Load(folder, json);
        Encoding encoding = tokenizer.Encode("<unused12><unused4999>qabcqabcde🙂qab", addSpecialTokens: false);
        Assert.Equal([1212, 6199, 6200], encoding.Ids[..3]);
        Assert.Equal(6201, encoding.Ids[4]);
        Assert.Equal((26, 31), encoding.Offsets[4]);
        Assert.Equal((33, 36), encoding.Offsets[^1]);
        Assert.Equal(6200, encoding.Ids[^1]);
        Assert.Equal(6203, tokenizer.VocabularySize);
    }

    [Fact]
    public void Added_tokens_heed_strip_and_single_word()
    {
        using TemporaryFolder folder = new();
        JsonNode json = Json();
        JsonObject mask = Added(1200, "<mask>"), word = Added(1201, "heron");
        mask["lstrip"] = true;
        word["single_word"] = true;
        json["added_tokens"]!.AsArray().Add((JsonNode)mask);
        json["added_tokens"]!.AsArray().Add((JsonNode)word);
        Tokenizer tokenizer = Load(folder, json);
        Assert.Equal((1, 9), tokenizer.Encode("a  <mask>b", addSpecialTokens: false).Offsets[1]);
        Assert.Contains(1201, tokenizer.Encode("a heron.").Ids);
        Assert.DoesNotContain(1201, tokenizer.Encode("herons").Ids);
    }

    [Theory]
    [InlineData("normalizer", """{"type": "NFKC"}""", "normalizer NFKC")]
    [InlineData("normalizer", """{"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}""", "normalizer Lowercase")]
    [InlineData("pre_tokenizer", """{"type": "BertPreTokenizer"}""", "pre_tokenizer BertPreTokenizer")]
    [InlineData("pre_tokenizer", """{"type": "Split", "pattern": {"Regex": "\\p{Han}+"}, "behavior": "Isolated", "invert": false}""", "\\p{Han}")]
    [InlineData("decoder", """{"type": "WordPiece"}""", "decoder WordPiece")]
    [InlineData("post_processor", """{"type": "BertProcessing"}""", "post_processor BertProcessing")]
    [InlineData("model", """{"type": "Unigram", "vocab": []}""", "model Unigram")]
    public void A_component_that_is_not_known_is_refused_by_name(string part, string value, string message)
    {
        using TemporaryFolder folder = new();
        JsonNode json = Json();
        json[part] = JsonNode.Parse(value);
        DiffractException e = Assert.Throws<DiffractException>(() => Load(folder, json));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_without_tokenizer_and_a_broken_file_are_named()
    {
        using TemporaryFolder folder = new();
        Assert.Contains("no tokenizer.json", Assert.Throws<DiffractException>(() => Tokenizer.Load(folder.Path)).Message, StringComparison.Ordinal);
        File.WriteAllText(Path.Combine(folder.Path, "tokenizer.json"), "{");
        Assert.Contains("is not a tokenizer", Assert.Throws<DiffractException>(() => Tokenizer.Load(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_long_text_is_one_word_and_still_quick()
    {
        // A merge loop that looks at every pair again after each merge would take hours here.
        string text = string.Concat(Enumerable.Repeat("the old heron stood by the river ", 20_000));
        Encoding encoding = Gemma.Encode(text);
        Assert.Equal((text.Length - 1, text.Length), encoding.Offsets[^1]);
        Assert.Equal(text, Gemma.Decode(encoding.Ids, skipSpecialTokens: true));
    }

    static JsonNode Json() => JsonNode.Parse(File.ReadAllText(Path.Combine(Folder, "tokenizer.json")))!;

    static JsonObject Added(int id, string content) => new() { ["id"] = id, ["content"] = content, ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false, ["normalized"] = false, ["special"] = true };

    static Tokenizer Load(TemporaryFolder folder, JsonNode json)
    {
        File.WriteAllText(Path.Combine(folder.Path, "tokenizer.json"), json.ToJsonString());
        return Tokenizer.Load(folder.Path);
    }
}
