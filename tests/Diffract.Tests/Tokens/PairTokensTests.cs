using System.Text.Json.Nodes;
using Diffract.Compute.Reference;
using Diffract.Runs;
using Diffract.Text;
using Diffract.Tokens;

namespace Diffract.Tests.Tokens;

/// <summary>Pairs whose models do not read the same ids.</summary>
public sealed class PairTokensTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    static TokenizeSettings Settings => new()
    {
        BaseModel = Pairs.Base,
        ChatModel = Pairs.Chat,
        Texts = [Path.Combine(GoldenFiles.Assets, "documents.jsonl.gz")],
        Chats = [Path.Combine(GoldenFiles.Assets, "chats.jsonl.gz")],
        MaxTokens = 5_000,
        LeastSplitTokens = 1,
    };

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Replaced_ids_are_the_base_models_alone_and_the_originals_are_stored()
    {
        (int start, int end) = (Id("<start_of_turn>"), Id("<end_of_turn>"));
        ListProgress progress = new();
        using TokenStore plain = Tokenize(Settings, "plain"), replaced = Tokenize(Settings with { Replace = ReplacementMap.Parse($"{start}=300,{end}=301") }, "replaced", progress);
        Assert.Contains(progress.Lines, l => l.Contains($"the base model reads {start} \"<start_of_turn>\" as 300", StringComparison.Ordinal));
        Assert.Equal(JsonNode.Parse($"{{\"{start}\":300,\"{end}\":301}}")!.ToJsonString(), replaced.Manifest.Settings["replace"]!.ToJsonString());
        Assert.Equal(plain.Manifest.Outputs["ids.bin"], replaced.Manifest.Outputs["ids.bin"]);
        int changed = 0;
        foreach (TokenDocument d in replaced.Documents)
        {
            int[] stored = replaced.Ids(d).ToArray();
            Assert.Equal(stored, replaced.Ids(d, 1).ToArray());
            Assert.Equal(stored.Select(id => id == start ? 300 : id == end ? 301 : id), replaced.Ids(d, 0).ToArray());
            changed += stored.Count(id => id == start || id == end);
        }

        Assert.True(changed > 20);
    }

    [Theory]
    [InlineData("12", "cannot be read at \"12\"")]
    [InlineData("12=13,12=14", "cannot be read at \"12=14\"")]
    [InlineData("12=-1", "cannot be read at \"12=-1\"")]
    [InlineData("12=5000", "the base model has ids 0 to 4095")]
    [InlineData("5000=12", "5000 never comes")]
    public void Replacements_that_cannot_be_are_bad_arguments(string option, string message)
    {
        DiffractException e = Assert.Throws<DiffractException>(() => Tokenize(Settings with { Replace = ReplacementMap.Parse(option) }, "bad"));
        Assert.Equal(DiffractException.BadArguments, e.ExitCode);
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void None_replaces_nothing_and_nothing_said_is_left_to_the_family()
    {
        Assert.Null(ReplacementMap.Parse(null));
        Assert.True(ReplacementMap.Parse("none")!.IsEmpty);
        int[] ids = [1, 2, 3];
        Assert.Same(ids, ReplacementMap.None.Apply(ids));
        Assert.True(PairFamily.Replacement(Pairs.Base, Pairs.Chat, () => throw new InvalidOperationException("needless")).IsEmpty);
    }

    [Fact]
    public void A_llama_base_without_a_template_gets_the_published_replacements()
    {
        string chat = Llama("chat", template: true), taught = Llama("taught", template: true), plain = Llama("plain", template: false);
        Tokenizer Load() => Tokenizer.Load(chat);
        Assert.Equal("128006=1432,128007=827,128009=827", PairFamily.Replacement(plain, chat, Load).ToString());
        Assert.True(PairFamily.Replacement(taught, chat, Load).IsEmpty);
    }

    [Fact]
    public void A_padded_embedding_is_no_hindrance()
    {
        string padded = Pairs.Padded(Pairs.Chat, Path.Combine(_folder.Path, "padded"), 8);
        using TokenStore plain = Tokenize(Settings, "plain"), store = Tokenize(Settings with { ChatModel = padded }, "store");
        Assert.Equal(plain.Manifest.Outputs["ids.bin"], store.Manifest.Outputs["ids.bin"]);
        Assert.False(store.OwnTokens);
    }

    [Fact]
    public void Ids_that_the_base_model_lacks_are_refused_by_name_unless_they_are_replaced()
    {
        string chat = Pairs.Padded(Pairs.Chat, Path.Combine(_folder.Path, "chat"), 8);
        string file = Path.Combine(chat, "tokenizer.json");
        JsonNode tokenizer = JsonNode.Parse(File.ReadAllText(file))!;
        tokenizer["added_tokens"]!.AsArray().Add(new JsonObject
        {
            ["id"] = 4096,
            ["content"] = "<think>",
            ["single_word"] = false,
            ["lstrip"] = false,
            ["rstrip"] = false,
            ["normalized"] = false,
            ["special"] = true,
        });
        File.WriteAllText(file, tokenizer.ToJsonString());
        string texts = _folder.File("texts.jsonl", string.Join('\n', Enumerable.Repeat("""{"text": "The owl <think> sat in the old barn."}""", 20)));
        TokenizeSettings settings = Settings with { ChatModel = chat, Texts = [texts], Chats = [] };
        DiffractException e = Assert.Throws<DiffractException>(() => Tokenize(settings, "refused"));
        Assert.Contains("texts.jsonl line 1 holds the token 4096 \"<think>\", which the base model's embedding of 4096 ids lacks; give the base model another one to read: --replace 4096=ID", e.Message, StringComparison.Ordinal);

        ListProgress progress = new();
        using TokenStore store = Tokenize(settings with { Replace = ReplacementMap.Parse("4096=300") }, "replaced", progress);
        Assert.False(store.OwnTokens);
        Assert.Contains(4096, store.Ids(store.Documents[0]).ToArray());
        Assert.DoesNotContain(4096, store.Ids(store.Documents[0], 0).ToArray());
    }

    [Fact]
    public void A_base_tokenizer_that_only_lacks_the_templates_tokens_agrees()
    {
        string other = Pairs.Without(Pairs.Base, Path.Combine(_folder.Path, "base"), "<start_of_turn>", "<end_of_turn>");
        ListProgress progress = new();
        using TokenStore store = Tokenize(Settings with { BaseModel = other }, "store", progress);
        Assert.False(store.OwnTokens);
        Assert.Contains(progress.Warnings, w => w.Contains("the base tokenizer lacks", StringComparison.Ordinal) && w.Contains("<start_of_turn>", StringComparison.Ordinal));
    }

    [Fact]
    public void Two_tokenizers_are_stored_where_both_have_read_the_same_text()
    {
        string other = Pairs.FewerMerges(Pairs.Base, Path.Combine(_folder.Path, "base"));
        ListProgress progress = new();
        using TokenStore store = Tokenize(Settings with { BaseModel = other, Context = 60 }, "store", progress);
        Assert.True(store.OwnTokens);
        Assert.Contains(progress.Warnings, w => w.Contains("the tokenizers differ on d2-0", StringComparison.Ordinal) && w.Contains("interventions are left out", StringComparison.Ordinal));
        Tokenizer baseTokenizer = Tokenizer.Load(other);
        TextEncoder chat = TextEncoder.Load(Pairs.Chat);
        Dictionary<string, TextItem> items = Settings.Texts.Concat(Settings.Chats).SelectMany(f => TextRows.ReadSound(f, new TextColumns(), TextKind.Either)).ToDictionary(i => i.Id);
        long baseTokens = 0;
        foreach (TokenDocument d in store.Documents)
        {
            TextItem item = items[d.Id];

            // The chat's own text begins with the BOS that each tokenizer would put there as well.
            string text = item.Text ?? chat.Template.Render(item.Turns!).Text["<bos>".Length..];
            Encoding a = chat.Tokenizer.Encode(text), b = baseTokenizer.Encode(text);
            int[] baseIds = b.Ids[..Math.Min(60, b.Ids.Length)];
            Assert.Equal(a.Ids[..d.Length], store.Ids(d).ToArray());
            Assert.Equal(baseIds, store.Ids(d, 0).ToArray());
            List<(int, int)> wanted = TextAlignmentTests.BruteForce([.. a.Offsets[..d.Length].Select(o => o.End)], [.. b.Offsets[..baseIds.Length].Select(o => o.End)]);
            Assert.Equal(wanted, store.Positions(d, 1).ToArray().Zip(store.Positions(d, 0).ToArray()));
            baseTokens += baseIds.Length;
        }

        Assert.InRange(store.Rows, store.Tokens / 4, store.Tokens - 1);
        Assert.Equal(((double)store.Rows / store.Tokens, (double)store.Rows / baseTokens), ((double)store.Manifest.Facts["alignedShare"]!, (double)store.Manifest.Facts["baseAlignedShare"]!));
        Assert.Equal(["base_ids.bin", "documents.jsonl", "ids.bin", "marks.bin", "rows.bin", "skipped.jsonl"], store.Manifest.Outputs.Keys.Order(StringComparer.Ordinal));
    }

    string Llama(string name, bool template)
    {
        string folder = Path.Combine(_folder.Path, name);
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), """{"model_type": "llama"}""");
        File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), template ? """{"chat_template": "{{ messages }}"}""" : "{}");
        JsonNode tokenizer = JsonNode.Parse(File.ReadAllText(Path.Combine(Pairs.Chat, "tokenizer.json")))!;
        foreach ((int id, string token) in new[] { (128006, "<|start_header_id|>"), (128007, "<|end_header_id|>"), (128009, "<|eot_id|>") })
        {
            // An added token that the vocabulary lacks would be numbered after it.
            tokenizer["model"]!["vocab"]![token] = id;
            tokenizer["added_tokens"]!.AsArray().Add(new JsonObject { ["id"] = id, ["content"] = token, ["special"] = true });
        }

        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), tokenizer.ToJsonString());
        return folder;
    }

    static int Id(string token) => Tokenizer.Load(Pairs.Chat).IdOf(token)!.Value;

    TokenStore Tokenize(TokenizeSettings settings, string name, IProgressSink? progress = null)
    {
        RunFolder run = RunFolder.Create(Path.Combine(_folder.Path, name));
        using ReferenceBackend backend = new();
        TokenizeStage.Run(new StageContext(run, backend, progress ?? new SilentProgress()), settings);
        return TokenStore.Open(run);
    }
}
