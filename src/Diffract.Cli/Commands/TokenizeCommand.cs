using System.CommandLine;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract tokenize</c>: text to the tokens of a run, or a file's lines to ids.</summary>
static class TokenizeCommand
{
    public static Command Create()
    {
        Command command = new("tokenize", """
            Turns documents and chats into the tokens of a run folder: ids, roles, labels, and the split into training, scaling and held-out documents.

            Loose files: diffract tokenize --model DIR --text F.jsonl --out O.jsonl
              One output line for each input row (text or turns): ids, offsets (pairs, in code points), roles (bos 1, template 2, user 4, assistant 8, plain 16, system
              32). DIR needs tokenizer.json, and a chat template when a line has turns and --chat-format is template.
            """);
        Argument<string?> run = new("run") { Description = "Run folder; made where it is missing.", Arity = ArgumentArity.ZeroOrOne };
        Option<string?> baseModel = new("--base") { Description = "Checkpoint folder of the base model, or its name on the hub." };
        Option<string?> chatModel = new("--chat") { Description = "Checkpoint folder of the chat model, or its name on the hub; its tokenizer and chat template are used." };
        Option<string[]> text = new("--text") { Description = $"Documents: {DataOptions.Formats}. Several may be given.", AllowMultipleArgumentsPerToken = true };
        Option<string[]> chats = new("--chats") { Description = "Chats, from the same kinds of files; the shapes in which chats are published are known (docs/formats.md).", AllowMultipleArgumentsPerToken = true };
        Option<long?> tokens = new("--tokens") { Description = "Cap on the tokens of all splits. Default: all." };
        Option<int?> context = new("--context") { Description = "Documents are cut after so many tokens. Default: 1024, or what the models can read if that is less." };
        Option<string?> replace = new("--replace") { Description = "What the base model reads in place of ids that it lacks or handles badly, as ID=ID,ID=ID, or none; stored ids stay the originals. Default: 128006=1432,128007=827,128009=827 for a Llama 3.1 or 3.2 base without a chat template of its own, else none." };
        Option<int?> skipFirst = new("--skip-first") { Description = "So many positions at the beginning of each document are not stored, and no edit touches them. Default: 25 for Llama 3.x, 21 for Qwen2.5 (BOS and the system block of their templates), else 0." };
        Option<int> seed = new("--seed") { Description = "Decides which document goes to which split.", DefaultValueFactory = _ => 42 };
        Option<bool> fresh = new("--fresh") { Description = "Replace tokens that are there. Default: keep them." };
        Option<string?> model = new("--model") { Description = "Loose files: folder with tokenizer.json, or a name on the hub." };
        Option<string?> output = new("--out") { Description = "Loose files: file to write." };
        command.Arguments.Add(run);
        foreach (Option option in (Option[])[baseModel, chatModel, text, chats, tokens, context, skipFirst, replace, seed, fresh, model, output])
        {
            command.Options.Add(option);
        }

        DataOptions data = new(command, texts: true, skips: true);
        ChatFormatOptions format = new(command);
        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
        {
            if (parse.GetValue(model) is not null || parse.GetValue(output) is not null)
            {
                if (parse.GetValue(run) is not null || parse.GetValue(chats) is { Length: > 0 } || parse.GetValue(text) is not [string file] || parse.GetValue(model) is null || parse.GetValue(output) is null)
                {
                    throw DiffractException.Argument("loose files take --model DIR --text F.jsonl --out O.jsonl, one file and no run folder; see `diffract tokenize --help`");
                }

                (int lines, long count) = TextEncoder.EncodeFile(
                    Places.Tokenizer(parse.GetValue(model)!, progress, stop), DataOptions.One("--text", file, progress, stop), parse.GetValue(output)!, format.Of(parse), data.Of(parse), stop);
                progress.Done("tokenize", $"{lines} lines, {count} tokens in {parse.GetValue(output)}");
                return;
            }

            if (parse.GetValue(run) is not { } folder || parse.GetValue(baseModel) is not { } b || parse.GetValue(chatModel) is not { } c)
            {
                throw DiffractException.Argument("wanted a run folder, --base DIR and --chat DIR (or the loose form: --model DIR --text F.jsonl --out O.jsonl); see `diffract tokenize --help`");
            }

            TokenizeStage.Run(new StageContext(RunFolder.Create(folder), backend, progress, parse.GetValue(fresh), stop), new TokenizeSettings
            {
                BaseModel = Places.Model(b, progress, stop),
                ChatModel = Places.Model(c, progress, stop),
                Texts = Places.Data(parse.GetValue(text), parse.GetValue(tokens), progress, stop),
                Chats = Places.Data(parse.GetValue(chats), parse.GetValue(tokens), progress, stop),
                Columns = data.Of(parse),
                MostSkipped = data.MostSkipped(parse),
                ChatFormat = format.Of(parse),
                MaxTokens = parse.GetValue(tokens),
                Context = parse.GetValue(context),
                SkipFirst = parse.GetValue(skipFirst),
                Replace = ReplacementMap.Parse(parse.GetValue(replace)),
                Seed = parse.GetValue(seed),
            });
        });
        return command;
    }
}
