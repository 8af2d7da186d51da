using System.Text.Json.Nodes;
using Diffract.Compute.Reference;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Tests.Tokens;

public sealed class SkipFirstTests : IDisposable
{
    static readonly string Base = Path.Combine(GoldenFiles.Assets, "base"), Chat = Path.Combine(GoldenFiles.Assets, "chat");
    readonly TemporaryFolder _folder = new();

    static TokenizeSettings Settings => new()
    {
        BaseModel = Base,
        ChatModel = Chat,
        Texts = [Path.Combine(GoldenFiles.Assets, "documents.jsonl.gz")],
        Chats = [Path.Combine(GoldenFiles.Assets, "chats.jsonl.gz")],
        MaxTokens = 5_000,
        LeastSplitTokens = 1,
    };

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_first_positions_have_no_row_and_the_others_keep_their_order()
    {
        using TokenStore whole = Tokenize(Settings, "whole"), skipped = Tokenize(Settings with { SkipFirst = 5 }, "skipped");
        Assert.Equal((5, whole.Tokens), (skipped.SkipFirst, skipped.Tokens));
        Assert.Equal(whole.Tokens - (5 * whole.Documents.Count), skipped.Rows);
        long row = 0;
        foreach (TokenDocument d in skipped.Documents)
        {
            Assert.Equal((row, d.Length - 5), (d.FirstRow, d.Rows));
            Assert.Equal(Enumerable.Range(5, d.Length - 5), skipped.Positions(d).ToArray());
            Assert.Equal(skipped.Positions(d).ToArray(), skipped.Positions(d, 0).ToArray());
            Assert.Equal(whole.Ids(whole.Documents[d.Number]).ToArray(), skipped.Ids(d).ToArray());
            byte[] roles = new byte[3];
            skipped.RowRoles(d, 2, roles);
            Assert.Equal(skipped.Roles(d).Slice(7, 3).ToArray(), roles);
            row += d.Rows;
        }

        Assert.Equal((skipped.Rows, 0), ((long)skipped.Manifest.Facts["rows"]!, (int)skipped.Manifest.Facts["withoutRows"]!));
        Assert.Equal(5, (int)skipped.Manifest.Settings["skipFirst"]!);
    }

    [Fact]
    public void Nothing_skipped_gives_the_same_bytes_as_nothing_said()
    {
        using TokenStore said = Tokenize(Settings with { SkipFirst = 0 }, "said"), unsaid = Tokenize(Settings, "unsaid");
        Assert.Equal(unsaid.Manifest.Fingerprint(), said.Manifest.Fingerprint());
        Assert.Equal(["documents.jsonl", "ids.bin", "marks.bin", "skipped.jsonl"], said.Manifest.Outputs.Keys.Order(StringComparer.Ordinal));
        Assert.DoesNotContain("kept", File.ReadAllText(Path.Combine(_folder.Path, "said", "tokens", "documents.jsonl")), StringComparison.Ordinal);
        Assert.Equal((said.Tokens, 0L), (said.Rows, said.Documents[0].FirstRow));
        Assert.All(said.Documents, d => Assert.Equal((d.Start, d.Length), (d.FirstRow, d.Rows)));
        Assert.Equal(Enumerable.Range(0, said.Documents[3].Length), said.Positions(said.Documents[3]).ToArray());
    }

    [Fact]
    public void Documents_too_short_for_a_row_are_left_out_and_counted()
    {
        string texts = _folder.File("texts.jsonl", string.Join('\n', [.. Enumerable.Repeat("""{"text": "Owl."}""", 3), .. Enumerable.Repeat("""{"text": "The old owl sat in the barn and looked at the moon for a long time."}""", 40)]));
        using TokenStore store = Tokenize(Settings with { Texts = [texts], Chats = [], SkipFirst = 8 }, "short");
        Assert.Equal((40, 3), (store.Documents.Count, (int)store.Manifest.Facts["withoutRows"]!));
        Assert.All(store.Documents, d => Assert.InRange(d.Rows, 1, 40));
    }

    [Fact]
    public void Rows_that_do_not_fit_are_refused()
    {
        Tokenize(Settings with { SkipFirst = 5 }, "run").Dispose();
        string file = Path.Combine(_folder.Path, "run", "tokens", "rows.bin");
        byte[] rows = File.ReadAllBytes(file);
        rows[4] = 200;
        File.WriteAllBytes(file, rows);
        Assert.Contains("rows.bin does not fit document 0", Assert.Throws<DiffractException>(() => TokenStore.Open(Run("run"))).Message, StringComparison.Ordinal);
        File.WriteAllBytes(file, rows[..^4]);
        Assert.Contains("rows.bin has", Assert.Throws<DiffractException>(() => TokenStore.Open(Run("run"))).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(512)]
    public void A_number_that_leaves_nothing_is_a_bad_argument(int skip)
    {
        DiffractException e = Assert.Throws<DiffractException>(() => Tokenize(Settings with { SkipFirst = skip }, "bad"));
        Assert.Equal(DiffractException.BadArguments, e.ExitCode);
        Assert.Contains("--skip-first", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gemma2", "<|start_header_id|>", "", 0)]
    [InlineData("llama", "<s>", "", 0)]
    [InlineData("llama", "<|start_header_id|>", "", 25)]
    [InlineData("qwen2", "<|im_start|>", "You are a helpful assistant.", 0)]
    [InlineData("qwen2", "<|im_start|>", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", 21)]
    public void The_default_follows_the_family(string type, string token, string system, int skip)
    {
        File.WriteAllText(Path.Combine(_folder.Path, "config.json"), new JsonObject { ["model_type"] = type }.ToJsonString());
        File.WriteAllText(Path.Combine(_folder.Path, "chat_template.jinja"), $"{{{{- '<|im_start|>system\n{system}<|im_end|>\n' }}}}");
        JsonNode tokenizer = JsonNode.Parse(File.ReadAllText(Path.Combine(Chat, "tokenizer.json")))!;
        tokenizer["added_tokens"]!.AsArray().Add(new JsonObject { ["id"] = 4096, ["content"] = token, ["special"] = true });
        File.WriteAllText(Path.Combine(_folder.Path, "tokenizer.json"), tokenizer.ToJsonString());
        Assert.Equal(skip, PairFamily.SkipFirst(_folder.Path, () => Tokenizer.Load(_folder.Path)));
    }

    TokenStore Tokenize(TokenizeSettings settings, string name)
    {
        RunFolder run = Run(name);
        using ReferenceBackend backend = new();
        TokenizeStage.Run(new StageContext(run, backend, new SilentProgress()), settings);
        return TokenStore.Open(run);
    }

    RunFolder Run(string name) => RunFolder.Create(Path.Combine(_folder.Path, name));
}
