using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Tokens;

namespace Diffract.Tests.Tokens;

/// <summary>One tokenizer for many threads, and memory that grows with the text and no faster.</summary>
public sealed class TokenizerUseTests
{
    const int Threads = 6;

    [Theory]
    [InlineData("gemma")]
    [InlineData("llama2")]
    [InlineData("llama3")]
    [InlineData("qwen2")]
    [InlineData("gpt2")]
    public void Threads_that_share_a_tokenizer_get_what_each_would_get_alone(string style)
    {
        string folder = GoldenFiles.Path($"tokenizers/{style}");
        (string Text, int[] Ids)[] golden = Golden(folder);
        Tokenizer shared = Tokenizer.Load(folder);
        Together(thread =>
        {
            for (int i = 0; i < golden.Length; i++)
            {
                (string text, int[] ids) = golden[(i * 7 + thread * 31) % golden.Length];
                Assert.Equal(ids, shared.Encode(text).Ids);
            }
        });
    }

    [Fact]
    public void Threads_share_a_pattern_that_is_compiled_while_they_use_it()
    {
        using TemporaryFolder folder = new();
        JsonNode file = JsonNode.Parse(File.ReadAllText(GoldenFiles.Path("tokenizers/qwen2/tokenizer.json")))!;
        JsonObject pattern = file["pre_tokenizer"]!["pretokenizers"]![0]!["pattern"]!.AsObject();
        pattern["Regex"] = $"(?:{pattern["Regex"]!.GetValue<string>()})";
        folder.File("tokenizer.json", file.ToJsonString());
        Tokenizer shared = Tokenizer.Load(folder.Path);
        string text = string.Concat(Enumerable.Repeat("The old heron's 12 nests, by the river.\n\n", 300));
        int[] expected = Tokenizer.Load(GoldenFiles.Path("tokenizers/qwen2")).Encode(text).Ids;
        Together(_ =>
        {
            for (int i = 0; i < 4; i++)
            {
                Assert.Equal(expected, shared.Encode(text).Ids);
            }
        });
    }

    [Theory]
    [InlineData("gemma")]
    [InlineData("llama2")]
    [InlineData("llama3")]
    [InlineData("qwen2")]
    [InlineData("gpt2")]
    public void A_line_without_spaces_takes_memory_in_proportion_to_its_length(string style)
    {
        Tokenizer tokenizer = Tokenizer.Load(GoldenFiles.Path($"tokenizers/{style}"));
        long half = Allocated(tokenizer, 100_000), whole = Allocated(tokenizer, 200_000);
        Assert.InRange(whole, 0, 2.5 * half);
    }

    static long Allocated(Tokenizer tokenizer, int length)
    {
        string line = string.Concat(Enumerable.Repeat("theoldheronstoodbytheriver", length / 26 + 1))[..length];
        tokenizer.Encode(line);
        long before = GC.GetAllocatedBytesForCurrentThread();
        tokenizer.Encode(line);
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    static (string Text, int[] Ids)[] Golden(string folder)
    {
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "golden.json")));
        return [.. golden.RootElement.EnumerateArray().Select(c => (c.GetProperty("text").GetString()!, c.GetProperty("ids").EnumerateArray().Select(e => e.GetInt32()).ToArray()))];
    }

    // Each on a thread of its own, let go at once.
    static void Together(Action<int> work)
    {
        using Barrier barrier = new(Threads);
        Exception?[] errors = new Exception?[Threads];
        Thread[] threads = [.. Enumerable.Range(0, Threads).Select(n => new Thread(() =>
        {
            barrier.SignalAndWait();
            errors[n] = Record.Exception(() => work(n));
        }))];
        Array.ForEach(threads, t => t.Start());
        Array.ForEach(threads, t => t.Join());
        Assert.All(errors, Assert.Null);
    }
}
