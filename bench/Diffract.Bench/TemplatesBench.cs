using System.Diagnostics;
using System.IO.Compression;
using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Runs;
using Diffract.Text;

namespace Diffract.Bench;

/// <summary>
/// Chat templates on one core: the golden files' templates over the organism's chats, told apart into roles as <c>tokenize</c> does and as a file as <c>render</c> does it; then one chat of many turns and one
/// of long turns against the same with twice as much, where 2 is linear. Medians of 3.
/// </summary>
static class TemplatesBench
{
    const int Runs = 3;
    const int Chats = 2000;
    const int Turns = 400;
    const int Pairs = 20;
    const int Characters = 400_000;

    public static void Run(BenchTable table)
    {
        string root = BenchTable.Root;
        List<List<Turn>> chats = Read(root);
        table.Note($"One thread. {chats.Count} chats of the organism, {chats.Average(c => c.Count):F1} turns each, {chats.Sum(c => c.Sum(t => t.Content.Length)) / 1e6:F2} MB of text. "
            + $"Twice the turns: a chat of {Turns} and of {2 * Turns} turns. Twice the text: turns of {Characters / 2:N0} and of {Characters:N0} characters. -: the template refuses such a chat, or its parts cannot be told.\n");
        table.Header("template", "load ms", "chats/s with roles", "MB/s", "chats/s render", "twice the turns", "twice the text");
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllText(Path.Combine(root, "tests", "golden", "chat_templates.json")));
        foreach (JsonElement template in golden.RootElement.EnumerateArray())
        {
            DirectoryInfo folder = Directory.CreateTempSubdirectory("diffract-bench");
            JsonObject config = new() { ["bos_token"] = "<bos>", ["eos_token"] = "<eos>", ["chat_template"] = template.GetProperty("template").GetString() };
            File.WriteAllText(Path.Combine(folder.FullName, "tokenizer_config.json"), config.ToJsonString());
            table.Row((object[])[template.GetProperty("name").GetString()!, .. Measure(folder.FullName, chats)]);
            folder.Delete(recursive: true);
        }
    }

    static IEnumerable<object> Measure(string folder, List<List<Turn>> chats)
    {
        string file = Path.Combine(folder, "chats.jsonl"), output = Path.Combine(folder, "out.jsonl");
        File.WriteAllLines(file, chats.Select(c => new JsonObject { ["messages"] = new JsonArray([.. c.Select(t => (JsonNode)new JsonObject { ["role"] = t.Role, ["content"] = t.Content })]) }.ToJsonString()));
        double render = chats.Count / Median(() => ChatRenderer.RenderFile(folder, file, output, addGenerationPrompt: false, DateTime.UnixEpoch));
        ChatTemplate? template = null;
        double load = double.NaN;
        try
        {
            load = Median(() => template = ChatTemplate.Load(folder)) * 1000;
        }
        catch (DiffractException)
        {
            return ["-", "-", "-", render, "-", "-"];
        }

        long characters = 0;
        int made = 0;
        double seconds = Median(() =>
        {
            (characters, made) = (0, 0);
            foreach (List<Turn> chat in chats)
            {
                RenderedChat? rendered = template!.TryRender(chat, out _);
                (characters, made) = (characters + (rendered?.Text.Length ?? 0), made + (rendered is null ? 0 : 1));
            }
        });
        return [load, made == chats.Count ? made / seconds : "-", characters / seconds / 1e6, render, Twice(template!, Turns, 40), Twice(template!, 2, Characters / 2)];
    }

    // How much longer the same chat with twice as many turns or twice as long ones takes.
    static object Twice(ChatTemplate template, int turns, int length)
    {
        List<Turn> Chat(int count, int size) => [.. Enumerable.Range(0, count).Select(i => new Turn(i % 2 == 0 ? "user" : "assistant", Text(i, size)))];
        List<Turn> one = Chat(turns, length), two = turns > 2 ? Chat(2 * turns, length) : Chat(turns, 2 * length);
        if (template.TryRender(one, out _) is null || template.TryRender(two, out _) is null)
        {
            return "-";
        }

        // By turns, and only once the code is compiled for good.
        List<double> ratios = [];
        for (int i = 0; i < 3 * Pairs; i++)
        {
            double first = Time(() => template.TryRender(one, out _)), second = Time(() => template.TryRender(two, out _));
            if (i >= Pairs)
            {
                ratios.Add(second / first);
            }
        }

        return ratios.Order().ElementAt(ratios.Count / 2);
    }

    static string Text(int turn, int length) => string.Concat(Enumerable.Repeat($"the old heron of turn {turn} stood by the river ", (length / 40) + 1))[..length].Trim();

    static List<List<Turn>> Read(string root)
    {
        using GZipStream stream = new(File.OpenRead(Path.Combine(root, "assets", "organism", "chats.jsonl.gz")), CompressionMode.Decompress);
        using StreamReader reader = new(stream);
        List<List<Turn>> chats = [];
        while (chats.Count < Chats && reader.ReadLine() is { } line)
        {
            using JsonDocument chat = JsonDocument.Parse(line);
            chats.Add([.. chat.RootElement.GetProperty("turns").EnumerateArray().Select(t => new Turn(t.GetProperty("role").GetString()!, t.GetProperty("content").GetString()!))]);
        }

        return chats;
    }

    static double Median(Action action) => Enumerable.Range(0, Runs).Select(_ => Time(action)).Order().ElementAt(Runs / 2);

    static double Time(Action action)
    {
        long from = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(from).TotalSeconds;
    }
}
