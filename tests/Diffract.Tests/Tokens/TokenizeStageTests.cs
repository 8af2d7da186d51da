using System.Text.Json.Nodes;
using Diffract.Compute.Reference;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Tests.Tokens;

public sealed class TokenizeStageTests : IDisposable
{
    static readonly string Base = Path.Combine(GoldenFiles.Assets, "base"), Chat = Path.Combine(GoldenFiles.Assets, "chat");
    static readonly string Documents = Path.Combine(GoldenFiles.Assets, "documents.jsonl.gz"), Chats = Path.Combine(GoldenFiles.Assets, "chats.jsonl.gz");
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Documents_and_chats_share_the_tokens_and_are_split_by_document()
    {
        RunFolder run = Run(Settings() with { MaxTokens = 60_000, Seed = 3 });
        using TokenStore store = TokenStore.Open(run);
        Assert.Equal((Base, Chat, 512, 3), (store.BaseModel, store.ChatModel, store.Context, store.Seed));
        Assert.InRange(store.Tokens, 59_000, 60_000);
        long[] bySource = [.. Enum.GetValues<TextSource>().Select(s => store.Documents.Where(d => d.Source == s).Sum(d => (long)d.Length))];
        Assert.InRange(bySource[0] - bySource[1], -512, 512);
        double[] shares = [.. Enum.GetValues<Split>().Select(s => store.Documents.Count(d => d.Split == s) / (double)store.Documents.Count)];
        Assert.InRange(shares[0], 0.44, 0.56);
        Assert.InRange(shares[1], 0.10, 0.20);
        long start = 0;
        foreach (TokenDocument d in store.Documents)
        {
            Assert.Equal(start, d.Start);
            start += d.Length;
        }

        TokenDocument chat = store.Documents.First(d => d.Source == TextSource.Chat);
        Assert.Equal("c2-0", chat.Id);
        Assert.Equal(["words/meaning", "sort/numbers", "refusal/fire"], chat.Labels);
        EncodedText expected = TextEncoder.Load(Chat).Encode(Diffract.Text.TextRows.ReadSound(Chats, new Diffract.Text.TextColumns(), Diffract.Text.TextKind.Chats).First(), 512);
        Assert.Equal(expected.Ids, store.Ids(chat).ToArray());
        Assert.Equal(expected.Roles, store.Roles(chat).ToArray());
        Assert.Equal(expected.BlockPositions, store.BlockPositions(chat).ToArray());
        Assert.Equal(expected.Turns, store.Turns(chat).ToArray());
    }

    [Fact]
    public void Either_alone_is_enough_and_equal_settings_give_equal_files()
    {
        TokenizeSettings texts = Settings() with { Chats = [], MaxTokens = 40_000 };
        using TokenStore a = TokenStore.Open(Run(texts, "a")), b = TokenStore.Open(Run(texts, "b"));
        Assert.All(a.Documents, d => Assert.Equal(TextSource.Document, d.Source));
        Assert.Equal(a.Manifest.Fingerprint(), b.Manifest.Fingerprint());
        using TokenStore chats = TokenStore.Open(Run(Settings() with { Texts = [], MaxTokens = 40_000 }, "c"));
        Assert.All(chats.Documents, d => Assert.Equal(TextSource.Chat, d.Source));
    }

    [Fact]
    public void Models_that_do_not_say_their_longest_text_need_a_context_or_somebody_who_knows()
    {
        string model = Path.Combine(_folder.Path, "silent");
        Directory.CreateDirectory(model);
        foreach (string file in Directory.GetFiles(Chat))
        {
            File.Copy(file, Path.Combine(model, Path.GetFileName(file)));
        }

        JsonObject config = JsonNode.Parse(File.ReadAllText(Path.Combine(model, "config.json")))!.AsObject();
        config.Remove("max_position_embeddings");
        File.WriteAllText(Path.Combine(model, "config.json"), config.ToJsonString());
        TokenizeSettings settings = Settings() with { ChatModel = model, MaxTokens = 60_000 };
        DiffractException e = Assert.Throws<DiffractException>(() => TokenizeStage.Check(settings));
        Assert.Equal(DiffractException.BadArguments, e.ExitCode);
        Assert.Contains("has no max_position_embeddings, so the longest text is not known; say with --context", e.Message, StringComparison.Ordinal);
        TokenizeStage.Check(settings with { Context = 9000 });
        TokenizeStage.Check(settings with { ContextLimit = 300 });
        Assert.Contains("wanted 2 to 300", Assert.Throws<DiffractException>(() => TokenizeStage.Check(settings with { ContextLimit = 300, Context = 301 })).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_missing_tokenizer_is_found_before_anything_is_planned(bool chat)
    {
        string model = Path.Combine(_folder.Path, "bare");
        Directory.CreateDirectory(model);
        File.Copy(Path.Combine(Chat, "config.json"), Path.Combine(model, "config.json"));
        TokenizeSettings settings = Settings() with { MaxTokens = 60_000 };
        Assert.Contains(
            "bare has no tokenizer.json",
            Assert.Throws<DiffractException>(() => TokenizeStage.Check(chat ? settings with { ChatModel = model } : settings with { BaseModel = model })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_hundred_thousand_tokens_are_enough_for_the_splits()
    {
        for (int seed = 0; seed < 3; seed++)
        {
            Run(Settings() with { MaxTokens = 100_000, Seed = seed }, "seed" + seed);
        }
    }

    [Fact]
    public void Too_few_tokens_say_how_many_are_needed_and_leave_nothing()
    {
        DiffractException e = Assert.Throws<DiffractException>(() => Run(Settings() with { MaxTokens = 9_000 }));
        Assert.Contains("too few for the splits", e.Message, StringComparison.Ordinal);
        Assert.Contains("100000", e.Message, StringComparison.Ordinal);
        Run(Settings() with { MaxTokens = 50_000 });
    }

    [Fact]
    public void What_was_used_up_first_is_said()
    {
        string few = _folder.File("few.jsonl", """{"turns": [{"role": "user", "content": "What do owls eat?"}, {"role": "assistant", "content": "They eat mice and moths."}]}""");
        Assert.Contains("the chats were used up first", Assert.Throws<DiffractException>(() => Run(Settings() with { Chats = [few] })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_finished_stage_is_not_made_again_and_other_settings_are_refused()
    {
        RunFolder run = Run(Settings() with { MaxTokens = 40_000 });
        DateTime made = File.GetLastWriteTimeUtc(Path.Combine(run.Tokens, "ids.bin"));
        Run(Settings() with { MaxTokens = 40_000 });
        Assert.Equal(made, File.GetLastWriteTimeUtc(Path.Combine(run.Tokens, "ids.bin")));
        Assert.Contains("other settings", Assert.Throws<DiffractException>(() => Run(Settings() with { MaxTokens = 41_000 })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_truncated_store_is_refused_by_name()
    {
        RunFolder run = Run(Settings() with { MaxTokens = 40_000 });
        using (FileStream file = File.OpenWrite(Path.Combine(run.Tokens, "marks.bin")))
        {
            file.SetLength(1000);
        }

        Assert.Contains("tokens/marks.bin has 1000 bytes", Assert.Throws<DiffractException>(() => TokenStore.Open(run)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Ctrl_c_leaves_nothing_half_made()
    {
        using CancellationTokenSource stop = new();
        stop.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => Run(Settings(), stop: stop.Token));
        Assert.False(Directory.Exists(Path.Combine(_folder.Path, "run", "tokens")));
    }

    [Fact]
    public void A_few_bad_chats_are_passed_over_and_listed_more_than_one_in_a_hundred_are_refused()
    {
        string line = """{"turns": [{"role": "user", "content": "What do owls eat in the old barn?"}, {"role": "assistant", "content": "They eat mice and moths."}]}""";
        string[] bad = ["""{"id": "odd", "turns": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]}""", """{"turns": [{"role": "user", "content": "b"}]}"""];
        string few = _folder.File("few.jsonl", string.Join('\n', [.. Enumerable.Repeat(line, 1500), .. bad]));
        using TokenStore store = TokenStore.Open(Run(Settings() with { Texts = [], Chats = [few] }));
        Assert.Equal(2, (int)store.Manifest.Facts["skippedChats"]!);
        Assert.Equal(2, (int)store.Manifest.Facts["skipped"]!["chats"]!["ends with the user's turn, wanted an answer"]!);
        JsonNode[] skipped = [.. File.ReadLines(Path.Combine(_folder.Path, "run", "tokens", "skipped.jsonl")).Select(l => JsonNode.Parse(l)!)];
        Assert.Equal(("odd", 1501, few), ((string)skipped[0]["id"]!, (int)skipped[0]["line"]!, (string)skipped[0]["file"]!));
        Assert.Contains("ends with the user's turn", (string)skipped[1]["why"]!, StringComparison.Ordinal);
        Assert.Equal(2, skipped.Length);

        string many = _folder.File("many.jsonl", string.Join('\n', [.. Enumerable.Repeat(line, 100), .. bad]));
        DiffractException e = Assert.Throws<DiffractException>(() => Run(Settings() with { Texts = [], Chats = [many] }, "many"));
        Assert.Contains("2 of 102 chats", e.Message, StringComparison.Ordinal);
        Assert.Contains("many.jsonl line 101", e.Message, StringComparison.Ordinal);
        Assert.Contains("--most-skipped", e.Message, StringComparison.Ordinal);
        Assert.Contains("too few for the splits", Assert.Throws<DiffractException>(() => Run(Settings() with { Texts = [], Chats = [many], MostSkipped = 0.1 }, "lenient")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Parquet_and_csv_are_tokenised_and_what_is_passed_over_is_counted_by_reason()
    {
        string csv = _folder.File("texts.csv", "body,id\n" + string.Concat(Enumerable.Range(0, 40).Select(i => $"\"The owl, the barn and the moon {i}.\",d{i}\n")));
        TokenizeSettings settings = Settings() with
        {
            Texts = [csv],
            Chats = [GoldenFiles.Path("data/lmsys.parquet"), GoldenFiles.Path("data/ultrachat.parquet")],
            Columns = new Diffract.Text.TextColumns { Text = "body" },
            MostSkipped = 0.2,
            LeastSplitTokens = 1,
        };
        using TokenStore store = TokenStore.Open(Run(settings));

        Assert.Equal("body", (string)store.Manifest.Settings["columns"]!["text"]!);
        Assert.Contains(store.Documents, d => d.Id == "d7");
        Assert.Contains(store.Documents, d => d.Id == "00000000000000000000000000000000" && d.Source == TextSource.Chat);
        JsonObject reasons = store.Manifest.Facts["skipped"]!["chats"]!.AsObject();
        Assert.Equal((int)store.Manifest.Facts["skippedChats"]!, reasons.Sum(r => (int)r.Value!));
        Assert.Equal(2, (int)reasons["has no turns"]!);
        Assert.Equal(1, (int)reasons["ends with the user's turn, wanted an answer"]!);
        Assert.Equal(1, (int)reasons["has a malformed turn N without content"]!);
        Assert.Equal(4, reasons.Where(r => r.Key.Contains("roles must alternate", StringComparison.Ordinal)).Sum(r => (int)r.Value!));
        JsonNode first = JsonNode.Parse(File.ReadLines(Path.Combine(_folder.Path, "run", "tokens", "skipped.jsonl")).First())!;
        Assert.Equal((12, "has no turns"), ((int)first["row"]!, (string)first["why"]!));
    }

    [Fact]
    public void Chats_as_text_and_text_as_chats_are_refused_with_the_right_option()
    {
        Assert.Contains("--chats", Assert.Throws<DiffractException>(() => Run(Settings() with { Texts = [Chats], Chats = [] })).Message, StringComparison.Ordinal);
        Assert.Contains("--text", Assert.Throws<DiffractException>(() => Run(Settings() with { Texts = [], Chats = [Documents] })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_base_model_with_too_few_ids_is_refused_with_the_token()
    {
        DiffractException e = Assert.Throws<DiffractException>(() => Run(Settings() with { BaseModel = Changed("vocab_size") }));
        Assert.Contains("line 1 holds the token", e.Message, StringComparison.Ordinal);
        Assert.Contains("which the base model's embedding of 64 ids lacks", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Models_of_different_widths_read_the_same_tokens()
    {
        using TokenStore store = TokenStore.Open(Run(Settings() with { BaseModel = Changed("hidden_size") }));
        Assert.True(store.Tokens > 0);
    }

    [Fact]
    public void Wrong_arguments_have_exit_code_two()
    {
        Assert.All(
            (TokenizeSettings[])[Settings() with { Context = 1024 }, Settings() with { Texts = [], Chats = [] }, Settings() with { Texts = ["nowhere.jsonl"] }, Settings() with { MaxTokens = 0 }],
            s => Assert.Equal(DiffractException.BadArguments, Assert.Throws<DiffractException>(() => Run(s)).ExitCode));
    }

    static TokenizeSettings Settings() => new() { BaseModel = Base, ChatModel = Chat, Texts = [Documents], Chats = [Chats] };

    RunFolder Run(TokenizeSettings settings, string name = "run", CancellationToken stop = default)
    {
        RunFolder run = RunFolder.Create(Path.Combine(_folder.Path, name));
        using ReferenceBackend backend = new();
        TokenizeStage.Run(new StageContext(run, backend, new SilentProgress(), Stop: stop), settings);
        return run;
    }

    /// <summary>A copy of the base model whose configuration says 64 in a field.</summary>
    string Changed(string field)
    {
        string other = Copy(Base);
        JsonNode config = JsonNode.Parse(File.ReadAllText(Path.Combine(other, "config.json")))!;
        config[field] = 64;
        File.WriteAllText(Path.Combine(other, "config.json"), config.ToJsonString());
        return other;
    }

    string Copy(string model)
    {
        string target = Path.Combine(_folder.Path, "copy");
        Directory.CreateDirectory(target);
        foreach (string file in Directory.GetFiles(model))
        {
            string copy = Path.Combine(target, Path.GetFileName(file));
            File.Copy(file, copy);
            File.SetAttributes(copy, FileAttributes.Normal);
        }

        return target;
    }
}
