using System.Text.Json.Nodes;
using Diffract.Tokens;

namespace Diffract.Tests.Tokens.Components;

/// <summary>A tokenizer that shows the words that its steps cut a text into: a known word is one token, an unknown one is one token too, by which it is seen that it was not expected.</summary>
static class WordTokenizer
{
    const string Unknown = "<unknown>";

    /// <param name="preTokenizer">JSON of the pre_tokenizer.</param>
    /// <param name="known">Words as the model gets them.</param>
    /// <param name="postProcessor">JSON of the post_processor, or null.</param>
    public static Tokenizer Of(string preTokenizer, IEnumerable<string> known, string? postProcessor = null)
    {
        string[] words = [.. known.Distinct(), Unknown];
        JsonObject file = new()
        {
            ["pre_tokenizer"] = JsonNode.Parse(preTokenizer),
            ["post_processor"] = postProcessor is null ? null : JsonNode.Parse(postProcessor),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["vocab"] = new JsonObject(words.Select((w, i) => KeyValuePair.Create(w, (JsonNode?)i))),
                ["merges"] = new JsonArray(),
                ["unk_token"] = Unknown,
                ["fuse_unk"] = true,
                ["ignore_merges"] = true,
            },
        };
        using TemporaryFolder folder = new();
        folder.File("tokenizer.json", file.ToJsonString());
        return Tokenizer.Load(folder.Path);
    }

    /// <summary>Holds a text's words and their places to what is expected: "word start end", words apart by "|".</summary>
    public static void Check(string preTokenizer, string text, string expected, string? postProcessor = null)
    {
        (string Word, string Place)[] words = [.. expected.Split('|').Select(w => w.LastIndexOf(' ', w.LastIndexOf(' ') - 1) is var at ? (w[..at], w[(at + 1)..]) : default)];
        Tokenizer tokenizer = Of(preTokenizer, words.Select(w => w.Word), postProcessor);
        Encoding encoding = tokenizer.Encode(text);
        Assert.Equal(expected, string.Join('|', encoding.Ids.Zip(encoding.Offsets, (id, at) => $"{tokenizer.TokenText(id)} {at.Start} {at.End}")));
    }
}
