using System.CommandLine;
using Diffract.Text;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract render</c>: chats as the text that a model's own template makes of them.</summary>
static class RenderCommand
{
    public static Command Create()
    {
        Command command = new("render", """
            Renders chats with a model's own Jinja template.

            Loose files: diffract render --model DIR --chats F.jsonl --out O.jsonl [--add-generation-prompt]
              One output line for each input row (messages, turns or another published shape; every other key is a variable of the template): text and generation (spans of {% generation %} blocks, in code
              points), or error. DIR needs chat_template.jinja or tokenizer_config.json. The template sees these variables and the special tokens, no file and nothing of the program.
            """);
        Option<string> model = new("--model") { Description = "Loose files: folder with chat_template.jinja or tokenizer_config.json, or a name on the hub.", Required = true };
        Option<string> chats = new("--chats") { Description = "Loose files: chats in a file of any format (JSON lines, CSV, Parquet; .gz, .zst).", Required = true };
        Option<string> output = new("--out") { Description = "Loose files: file to write.", Required = true };
        Option<bool> prompt = new("--add-generation-prompt") { Description = "Ask the template for the beginning of an answer. Default: do not." };
        foreach (Option option in (Option[])[model, chats, output, prompt])
        {
            command.Options.Add(option);
        }

        DataOptions data = new(command, texts: false, skips: false);
        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
        {
            (int lines, int errors) = ChatRenderer.RenderFile(
                Places.Tokenizer(parse.GetValue(model)!, progress, stop), DataOptions.One("--chats", parse.GetValue(chats)!, progress, stop), parse.GetValue(output)!, parse.GetValue(prompt), DateTime.Now, data.Of(parse), stop);
            progress.Done("render", $"{lines} lines, {errors} of them errors, in {parse.GetValue(output)}");
        });
        return command;
    }
}
