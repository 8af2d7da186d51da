using System.Text.Json;
using Diffract.Tokens;

namespace Diffract.Tests.Tokens;

/// <summary>Every golden text of every style, against the reference library.</summary>
public sealed class TokenizerGoldenTests
{
    [Theory]
    [InlineData("gemma")]
    [InlineData("llama2")]
    [InlineData("llama3")]
    [InlineData("qwen2")]
    [InlineData("gpt2")]
    public void Every_golden_text_gives_the_reference_ids_tokens_offsets_and_texts(string style)
    {
        string folder = GoldenFiles.Path($"tokenizers/{style}");
        Tokenizer tokenizer = Tokenizer.Load(folder);
        List<string> wrong = [];
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "golden.json")));
        foreach (JsonElement c in golden.RootElement.EnumerateArray())
        {
            string text = c.GetProperty("text").GetString()!;
            Encoding encoding = tokenizer.Encode(text), bare = tokenizer.Encode(text, addSpecialTokens: false);
            int[] plain = Ints(c.GetProperty("plain_ids"));
            (int, int)[] offsets = [.. c.GetProperty("offsets").EnumerateArray().Select(e => (e[0].GetInt32(), e[1].GetInt32()))];
            bool same = encoding.Ids.SequenceEqual(Ints(c.GetProperty("ids"))) && encoding.Offsets.SequenceEqual(offsets)
                && bare.Ids.SequenceEqual(plain) && bare.Offsets.SequenceEqual(offsets.Skip(offsets.Length - plain.Length))
                && c.GetProperty("tokens").EnumerateArray().Select((e, i) => Names(tokenizer, encoding.Ids[i], e.GetString()!)).All(named => named)
                && tokenizer.Decode(plain) == c.GetProperty("decoded").GetString()
                && tokenizer.Decode(encoding.Ids, skipSpecialTokens: true) == c.GetProperty("decoded_skip").GetString();
            if (!same)
            {
                wrong.Add(text);
            }
        }

        Assert.Empty(wrong);
        Assert.Equal(205, golden.RootElement.GetArrayLength());
    }

    [Theory]
    [InlineData("gemma", "<end_of_turn>")]
    [InlineData("llama2", "</s>")]
    [InlineData("llama3", "<|eot_id|>")]
    [InlineData("qwen2", "<|im_end|>")]
    [InlineData("gpt2", "<|endoftext|>")]
    public void A_single_character_between_special_tokens_of_a_long_text_is_encoded(string style, string special)
    {
        Tokenizer tokenizer = Tokenizer.Load(GoldenFiles.Path($"tokenizers/{style}"));
        string turns = special + "x" + special + string.Concat(Enumerable.Repeat("the old heron ", 500));
        Encoding encoding = tokenizer.Encode(turns, addSpecialTokens: false);
        Assert.Equal(tokenizer.IdOf(special), encoding.Ids[0]);
        Assert.Contains((special.Length, special.Length + 1), encoding.Offsets);
        Assert.Contains((special.Length + 1, 2 * special.Length + 1), encoding.Offsets);
        Assert.Equal(turns.Length, encoding.Offsets[^1].End);
    }

    // In one of the files added tokens have the ids of others; then the id is that of both texts.
    static bool Names(Tokenizer tokenizer, int id, string token) => tokenizer.TokenText(id) == token || tokenizer.IdOf(token) == id;

    static int[] Ints(JsonElement list) => [.. list.EnumerateArray().Select(e => e.GetInt32())];
}
