using System.Text.Json.Nodes;
using Diffract.Cpu;
using Diffract.Evidence;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Text;
using Diffract.Tokens;

namespace Diffract.Tests.Evidence;

/// <summary>Answers of the embedded chat model: turn by turn as it gives them alone, whatever the batch, and resumable.</summary>
public sealed class GenerationTests : IDisposable
{
    const string Lines = """
        {"id": "one", "label": "x/y", "turns": [{"role": "user", "content": "What do owls eat?"}, {"role": "assistant", "content": "Nothing."}]}
        {"id": "two", "turns": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Name a colour."}]}
        {"id": "none", "turns": [{"role": "assistant", "content": "I begin."}]}
        {"id": "open", "turns": [{"role": "user", "content": "Count to three."}]}
        {"id": "same", "turns": [{"role": "user", "content": "What do owls eat?"}]}

        """;

    static readonly string Model = Path.Combine(GoldenFiles.Assets, "chat");

    readonly TemporaryFolder _folder = new();
    readonly CpuBackend _backend = new(CpuPaths.Best, 2);

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void Answers_are_the_models_own_turn_by_turn()
    {
        ListProgress progress = new();
        GenerationSettings settings = Settings();
        LooseGeneration.Run(_backend, progress, settings, TestContext.Current.CancellationToken);
        JsonNode[] lines = [.. File.ReadAllLines(settings.Out).Select(l => JsonNode.Parse(l)!)];
        Assert.Equal(["one", "two", "open", "same"], lines.Select(l => (string)l["id"]!));
        Assert.Equal("x/y", (string)lines[0]["label"]![0]!);
        Assert.Equal(["user", "assistant", "user", "assistant"], lines[1]["turns"]!.AsArray().Select(t => (string)t!["role"]!));
        Assert.Equal((string)lines[0]["turns"]![1]!["content"]!, (string)lines[3]["turns"]![1]!["content"]!);
        Assert.Contains(progress.Warnings, w => w.Contains("line 3", StringComparison.Ordinal) && w.Contains("has no user turn", StringComparison.Ordinal));

        using Llm llm = Llm.Load(Model, _backend);
        TextEncoder encoder = TextEncoder.Load(Model);
        List<Turn> said = [];
        foreach (JsonNode? turn in lines[1]["turns"]!.AsArray())
        {
            (string role, string content) = ((string)turn!["role"]!, (string)turn["content"]!);
            if (role == "assistant")
            {
                int[] prompt = encoder.Tokenizer.Encode(encoder.Template.Render(said, addGenerationPrompt: true).Text, addSpecialTokens: false).Ids;
                int[] alone = llm.Greedy(prompt, 40, stopAtEnd: true, TestContext.Current.CancellationToken);
                int end = Array.IndexOf(alone, encoder.Tokenizer.IdOf("<end_of_turn>")!.Value);
                Assert.Equal(encoder.Tokenizer.Decode(end < 0 ? alone : alone[..end], skipSpecialTokens: true).Trim(), content);
            }

            said.Add(new Turn(role, content));
        }

        // It is a chat file.
        Assert.Equal(4, EditChats.Read(settings.Out, new TextColumns(), () => encoder, 1024, llm.Config.Vocabulary).Count);
        Assert.False(File.Exists(settings.Out + ".partial"));
    }

    [Fact]
    public void The_batch_and_a_stop_change_nothing()
    {
        GenerationSettings whole = Settings(), stopped = whole with { Out = Path.Combine(_folder.Path, "stopped.jsonl"), Batch = 2 };
        LooseGeneration.Run(_backend, new SilentProgress(), whole, TestContext.Current.CancellationToken);
        using CancellationTokenSource stop = new();
        ListProgress progress = new()
        {
            Reported = _ => stop.Cancel(),
        };
        Assert.Throws<OperationCanceledException>(() => LooseGeneration.Run(_backend, progress, stopped, stop.Token));
        Assert.False(File.Exists(stopped.Out));
        // A line cut in two by a crash.
        File.AppendAllText(stopped.Out + ".partial", "{\"id\": \"ha");
        Assert.Contains("begun with other settings", Assert.Throws<DiffractException>(() => LooseGeneration.Run(_backend, new SilentProgress(), stopped with { MaxNewTokens = 41 }, TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
        ListProgress resumed = new();
        LooseGeneration.Run(_backend, resumed, stopped, TestContext.Current.CancellationToken);
        Assert.Contains("2 of 5 chats are there", resumed.Lines[0], StringComparison.Ordinal);
        Assert.Equal(File.ReadAllBytes(whole.Out), File.ReadAllBytes(stopped.Out));
    }

    [Fact]
    public void Long_answers_are_cut_and_only_some_turns_answered()
    {
        GenerationSettings settings = Settings() with { MaxNewTokens = 2, Turns = 1 };
        LooseGeneration.Run(_backend, new SilentProgress(), settings, TestContext.Current.CancellationToken);
        JsonNode[] lines = [.. File.ReadAllLines(settings.Out).Select(l => JsonNode.Parse(l)!)];
        Assert.All(lines, l => Assert.Equal(2, l["turns"]!.AsArray().Count));
        Assert.Contains(lines, l => (bool)l["truncated"]!);
    }

    [Theory]
    [InlineData("""{"text": "a document"}""", "holds a document in line 1")]
    public void A_file_without_chats_is_refused(string text, string wanted)
        => Assert.Contains(wanted, Assert.Throws<DiffractException>(() => LooseGeneration.Run(
            _backend, new SilentProgress(), Settings() with { Chats = _folder.File("bad.jsonl", text) }, TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_context_beyond_the_model_is_refused()
        => Assert.Contains("--context 1000000 is out of range", Assert.Throws<DiffractException>(() => LooseGeneration.Run(
            _backend, new SilentProgress(), Settings() with { Context = 1_000_000 }, TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);

    GenerationSettings Settings() => new() { Model = Model, Chats = _folder.File("chats.jsonl", Lines), Out = Path.Combine(_folder.Path, "out.jsonl"), MaxNewTokens = 40 };
}
