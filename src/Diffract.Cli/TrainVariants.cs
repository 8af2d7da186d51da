using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.Json;
using Diffract.Runs;

namespace Diffract.Cli;

/// <summary>
/// Turns one call into several: an option with a comma takes each of its values (several such options: every combination), and a list file adds options of its own to the call for each of its entries.
/// Every variant is then parsed as if it had been typed.
/// </summary>
static class TrainVariants
{
    static readonly string[] Listed = ["--layer", "--kind", "--latents", "--k", "--mu", "--target-l0", "--seed"];

    /// <summary>Lets a whole number be a list; its value is the first.</summary>
    public static Option<int?> List(Option<int?> option)
    {
        option.CustomParser = result => (int?)First(result, text => int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int n) ? n : null, "a whole number");
        return option;
    }

    /// <summary>Lets a number be a list; its value is the first.</summary>
    public static Option<double?> List(Option<double?> option)
    {
        option.CustomParser = result => First(result, text => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double n) ? n : null, "a number");
        return option;
    }

    /// <summary>Lets a word be a list of some of the choices.</summary>
    public static void FromAmong(Option<string?> option, params string[] choices)
        => option.Validators.Add(result =>
        {
            string? wrong = result.Tokens[0].Value.Split(',').FirstOrDefault(v => !choices.Contains(v));
            if (wrong is not null)
            {
                result.AddError($"{option.Name} {wrong} does not fit; wanted one of {string.Join(' ', choices)}, or several, with commas");
            }
        });

    /// <summary>The calls that a call stands for, with the name's suffix for what sets each apart; one with an empty suffix when there is no list.</summary>
    /// <param name="command">The verb.</param>
    /// <param name="parse">The call.</param>
    /// <param name="listFile">A JSON array of objects, each with option names as keys; null for none.</param>
    /// <param name="withoutEffect">Options that do not matter to a call: L1 has no k, so that two k are one L1.</param>
    public static IReadOnlyList<(ParseResult Call, string Suffix)> Of(Command command, ParseResult parse, string? listFile, Func<ParseResult, IEnumerable<string>> withoutEffect)
    {
        List<string> common = [.. parse.Tokens.SkipWhile(t => t.Value != command.Name).Skip(1).Select(t => t.Value)];
        List<(string Option, string[] Values)> lists = [];
        foreach (string option in Listed)
        {
            int at = common.IndexOf(option);
            if (at >= 0 && common[at + 1].Contains(',', StringComparison.Ordinal))
            {
                lists.Add((option, common[at + 1].Split(',')));
                common.RemoveRange(at, 2);
            }
        }

        IEnumerable<Dictionary<string, string>> entries = listFile is null ? [[]] : Read(listFile);
        foreach ((string option, string[] values) in lists)
        {
            entries = entries.SelectMany(entry => entry.ContainsKey(option) ? [entry] : values.Select(v => new Dictionary<string, string>(entry) { [option] = v }));
        }

        Dictionary<string, string>[] all = [.. entries];
        if (all.Length == 1 && all[0].Count == 0)
        {
            return [(parse, "")];
        }

        List<(ParseResult Call, Dictionary<string, string> Values)> kept = [];
        foreach (Dictionary<string, string> entry in all)
        {
            foreach (string option in withoutEffect(Parse(command, common, entry)).Where(o => lists.Any(l => l.Option == o)).ToArray())
            {
                entry.Remove(option);
            }

            if (!kept.Any(k => k.Values.Count == entry.Count && !k.Values.Except(entry).Any()))
            {
                kept.Add((Parse(command, common, entry), entry));
            }
        }

        return [.. kept.Select(k => (k.Call, Suffix([.. kept.Select(other => other.Values)], k.Values)))];
    }

    static double? First(ArgumentResult result, Func<string, double?> parse, string wanted)
    {
        string[] values = result.Tokens[0].Value.Split(',');
        string? wrong = values.FirstOrDefault(v => parse(v) is null);
        if (wrong is not null)
        {
            result.AddError($"{((OptionResult)result.Parent!).Option.Name} {wrong} does not fit; wanted {wanted}, or several, with commas");
            return null;
        }

        return parse(values[0]);
    }

    static ParseResult Parse(Command command, List<string> common, Dictionary<string, string> entry)
    {
        // What an entry says wins over the call.
        List<string> arguments = [];
        for (int i = 0; i < common.Count; i++)
        {
            if (entry.ContainsKey(common[i]))
            {
                i++;
                continue;
            }

            arguments.Add(common[i]);
        }

        ParseResult parse = command.Parse([.. arguments, .. entry.SelectMany(e => new[] { e.Key, e.Value })]);
        return CommandTable.Fault(parse) is { } fault ? throw DiffractException.Argument($"in the list: {fault}") : parse;
    }

    static List<Dictionary<string, string>> Read(string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllText(path), new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip });
            List<Dictionary<string, string>> entries = [.. document.RootElement.EnumerateArray()
                .Select(e => e.EnumerateObject().ToDictionary(p => "--" + p.Name, p => p.Value.ToString().ToLowerInvariant()))];
            return entries.Count > 0 ? entries : throw DiffractException.Argument($"--list {path} is empty; wanted at least one crosscoder");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException)
        {
            throw DiffractException.Argument($"--list {path} is no list: wanted [{{\"kind\": \"l1\", \"seed\": 1}}, …] with the names of options ({e.Message.Split('\n')[0]})");
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw DiffractException.Argument($"--list {path} does not exist; wanted a JSON file");
        }
    }

    /// <summary>"-k16-s2": what is not the same in all. The kind is the name itself.</summary>
    static string Suffix(Dictionary<string, string>[] all, Dictionary<string, string> one)
        => string.Concat(Listed.Concat(all.SelectMany(e => e.Keys)).Distinct()
            .Where(o => o is not ("--kind" or "--name") && one.ContainsKey(o) && all.Select(e => e.GetValueOrDefault(o)).Distinct().Count() > 1)
            .Select(o => (o == "--seed" ? "-s" : "-" + o[2..]) + one[o]));
}
